// Different runs for branches, pull requests and tags. `ctx` says what the run is for.
local runtime = { containers: [{ image: 'golang:1.23' }] };
local test = { name: 'test', runtime: runtime, steps: [{ clone: {} }, { run: 'make test' }] };

function(ctx) {
  runs: [
    { name: 'check', when: { ref: { include: '/./', exclude: '#^refs/tags/#' } }, tasks: [test] },
    {
      name: 'nightly build',
      when: { branch: ['main', '/^release-/'] },
      tasks: [test { name: 'test with race detector', steps: [{ clone: {} }, { run: 'make race' }] }],
    },
    {
      name: 'release',
      // Versions such as v1.2.3, and no candidates such as v1.2.3-rc1.
      when: { tag: { include: '/^v[0-9]+\\.[0-9]+\\.[0-9]+/', exclude: '/-rc/' } },
      tasks: [
        test,
        {
          name: 'publish',
          runtime: runtime,
          depends: ['test'],
          environment: { VERSION: ctx.tag },
          steps: [{ clone: {} }, { run: 'make publish' }],
        },
      ],
    },
  ],
}
