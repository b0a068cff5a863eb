// What was started outside is taken down again: by a step of the same task, and by a task that also runs after a stop.
local runtime = { containers: [{ image: 'alpine' }] };

{
  runs: [{
    name: 'clean up',
    timeout: '1h',
    tasks: [
      {
        name: 'test on a cluster',
        runtime: runtime,
        steps: [
          { clone: {} },
          { run: 'make cluster' },
          { run: 'make test' },
          // Also when a step before it failed, or the task was stopped.
          { save_reports: { paths: ['build/reports/*.xml'], always: true } },
          { run: { name: 'collect logs', command: 'make cluster-logs', always: true } },
        ],
      },
      {
        name: 'remove the cluster',
        runtime: runtime,
        depends: [{ task: 'test on a cluster', conditions: ['always'] }],
        retry: { max_attempts: 3, on: ['failed', 'timeout', 'lost'] },
        steps: [{ clone: {} }, { run: 'make cluster-down' }],
      },
    ],
  }],
}
