// Three tasks in a row: the smallest configuration that shows an edge.
local task(name, command, depends=[]) = {
  name: name,
  runtime: { containers: [{ image: 'host' }] },
  depends: depends,
  steps: [{ run: command }],
};

{
  runs: [{
    name: 'small',
    tasks: [
      task('build', 'echo building'),
      task('test', 'echo testing', ['build']),
      task('publish', 'echo publishing', ['test']),
    ],
  }],
}
