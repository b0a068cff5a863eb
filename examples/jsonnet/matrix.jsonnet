// A matrix: one task for each pair of a version and a database, and one that waits for all of them.
local versions = ['3.11', '3.12', '3.13'];
local databases = ['sqlite', 'postgres'];

local test(version, database) = {
  name: 'test %s on %s' % [version, database],
  runtime: { containers: [{ image: 'python:' + version }] },
  environment: { DATABASE: database },
  steps: [{ clone: {} }, { run: 'make test' }],
};

local cells = [test(version, database) for version in versions for database in databases];

{
  runs: [{
    name: 'matrix',
    tasks: cells + [{
      name: 'all passed',
      runtime: { containers: [{ image: 'alpine' }] },
      depends: [cell.name for cell in cells],
      steps: [{ run: 'echo "all %d passed"' % std.length(cells) }],
    }],
  }],
}
