// Built once, used by the tasks that follow: a workspace carries files from a task to its descendants.
local runtime = { containers: [{ image: 'node:22' }] };

local check(name, command) = {
  name: name,
  runtime: runtime,
  depends: ['build'],
  steps: [{ restore_workspace: {} }, { run: command }],
};

{
  runs: [{
    name: 'workspace',
    tasks: [
      {
        name: 'build',
        runtime: runtime,
        steps: [
          { clone: {} },
          { run: 'npm ci && npm run build' },
          { save_to_workspace: { contents: [{ source_dir: '.', paths: ['dist/**', 'package.json'] }] } },
        ],
      },
      check('smoke test', 'node dist/main.js --self-test'),
      check('size', 'test "$(du -sk dist | cut -f1)" -lt 5000'),
    ],
  }],
}
