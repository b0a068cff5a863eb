// A library by import: what repeats is written once, beside the configuration.
local pipeline = import 'lib/pipeline.libsonnet';

{
  runs: [{
    name: 'shared library',
    tasks: [
      pipeline.task('lint', 'python:3.12', ['pip install ruff', 'ruff check .']),
      pipeline.task('test', 'python:3.12', ['pip install -e .', 'pytest'], depends=['lint']),
    ],
  }],
}
