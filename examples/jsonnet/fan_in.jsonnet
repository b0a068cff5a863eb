// Fan-out and fan-in with conditions: a report is made whatever the tests did, and a badge only if they failed.
local runtime = { containers: [{ image: 'alpine' }] };
local suites = ['unit', 'integration', 'end to end'];

{
  runs: [{
    name: 'fan-in',
    tasks: [
      { name: suite, runtime: runtime, steps: [{ clone: {} }, { run: 'make "test-%s"' % suite }] }
      for suite in suites
    ] + [
      {
        name: 'report',
        runtime: runtime,
        // Each edge takes all of its conditions as alternatives; all edges must hold.
        depends: [{ task: suite, conditions: ['on_success', 'on_failure'] } for suite in suites],
        steps: [{ run: 'echo "the tests are over"' }],
      },
    ],
  }],
}
