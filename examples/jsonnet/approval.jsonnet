// A deployment that a person approves. Two deployments never run at the same time: the lock is one for the project.
local runtime = { containers: [{ image: 'alpine' }] };

{
  runs: [{
    name: 'deliver',
    when: { branch: 'main' },
    tasks: [
      { name: 'test', runtime: runtime, steps: [{ clone: {} }, { run: 'make test' }] },
      {
        name: 'deploy',
        runtime: runtime,
        depends: ['test'],
        approval: { timeout: '2d' },
        lock: 'production',
        environment: { DEPLOY_TOKEN: { from_variable: 'deploy_token' } },
        // A deployment is not repeated by itself, whatever happened to it.
        retry: { max_attempts: 1 },
        steps: [{ clone: {} }, { run: './deploy.sh' }],
      },
    ],
  }],
}
