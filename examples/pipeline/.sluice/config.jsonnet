// The pipeline of the package in this repository. It shows what a graph can say: a matrix, fan-out and fan-in, a failure
// that is ignored and looked after, a task that stands in for a skipped one, and an approval. It installs nothing.
local tasks = import 'tasks.libsonnet';

// Which parts of the test suite run beside each other.
local suites = ['test_counting', 'test_command_line'];
local hash_seeds = ['0', '1'];

local matrix = [
  { suite: suite, seed: seed, name: 'test %s seed %s' % [suite, seed] }
  for suite in suites
  for seed in hash_seeds
];

function(ctx) {
  runs: [
    {
      name: 'pipeline',
      timeout: '10m',
      task_timeout_interval: '2m',
      tasks: [
        tasks.cloned('lint', [{ run: { name: 'compile all', command: 'sh scripts/lint.sh' } }]),

        // Fan-out: one task for each cell of the matrix.
      ] + [
        tasks.cloned(cell.name, [
          { run: { name: 'run the suite', command: 'sh scripts/test.sh tests.%s' % cell.suite } },
        ]) {
          environment: { PYTHONHASHSEED: cell.seed },
          depends: ['lint'],
        }
        for cell in matrix
      ] + [

        // Fan-in: all of the matrix must have succeeded.
        tasks.cloned('whole suite', [
          { run: { name: 'run all tests', command: 'sh scripts/test.sh discover -s tests -t .' } },
          { run: { name: 'say the end', command: 'echo "the suite is done"', always: true } },
        ]) {
          depends: [cell.name for cell in matrix],
        },

        // A check that fails today, and that nobody waits for.
        tasks.cloned('strict spelling', [
          { run: { name: 'look for open ends', command: 'sh scripts/spelling.sh' } },
        ]) {
          depends: ['lint'],
          ignore_failure: true,
        },
        // It runs because the check before it failed.
        tasks.plain('report spelling', 'echo "spelling needs a look; the run goes on"') {
          depends: [{ 'strict spelling': ['on_failure'] }],
        },
        // It would run if spelling were right; as it is not, it is skipped.
        tasks.plain('praise spelling', 'echo "all words are right"') {
          depends: ['strict spelling'],
        },
        // It stands in for the skipped one.
        tasks.plain('without praise', 'echo "no praise today"') {
          depends: [{ 'praise spelling': ['on_skipped'] }],
        },

        tasks.cloned('package', [
          { run: { name: 'make the archive', command: 'sh scripts/package.sh "${SLUICE_GIT_COMMIT_SHA:-unknown}"' } },
        ]) {
          depends: ['whole suite'],
        },

        // A person says yes: sluice run approve RUN release
        tasks.plain('release', 'echo "released ${SLUICE_GIT_COMMIT_SHA:-unknown} from ${SLUICE_GIT_BRANCH:-a ref}"') {
          depends: ['package', 'without praise', 'report spelling'],
          approval: { timeout: '1h' },
          lock: 'release',
        },
        // Whatever became of the release, somebody hears of it.
        tasks.plain('tell', 'echo "the pipeline for ${SLUICE_GIT_REF:-this ref} is over"') {
          depends: [{ release: ['always'] }],
        },
      ],
    },
  ] + (
    // A second run only on tags: a function of ctx can decide what there is.
    if ctx.ref_type == 'tag' then [{
      name: 'tagged',
      tasks: [tasks.plain('say the tag', 'echo "$SLUICE_GIT_TAG"')],
    }] else []
  ),
}
