// A repository with several projects: each has a run of its own, which starts only if its files have changed.
local project(name, image, uses=[]) = {
  name: name,
  when: { paths: ['%s/**' % each for each in [name] + uses] },
  tasks: [{
    name: 'test',
    runtime: { containers: [{ image: image }] },
    working_dir: '~/project',
    steps: [{ clone: {} }, { run: { command: 'make test', working_dir: name } }],
  }],
};

{
  runs: [
    project('api', 'golang:1.23', uses=['proto']),
    project('web', 'node:22', uses=['proto']),
    project('proto', 'bufbuild/buf:1.45.0'),
  ],
}
