// A deployment that people start by hand, with a form on the page "Run by hand", or with
//   sluice project run org/acme/site --name deploy --input version=v1.4.0 --input environment=production
// `version` is required, so that no push starts the run.
local runtime = { containers: [{ image: 'alpine' }] };

function(ctx) {
  runs: [{
    name: 'deploy',
    inputs: {
      version: { required: true, pattern: 'v[0-9]+[.][0-9]+[.][0-9]+', description: 'The tag to deploy.' },
      environment: { type: 'choice', options: ['staging', 'production'], description: 'Where it goes.' },
      regions: { type: 'number', default: 1, description: 'How many regions.' },
      dry_run: { type: 'boolean', default: true, description: 'Only print what would be done.' },
    },
    tasks: [
      { name: 'build', runtime: runtime, steps: [{ clone: {} }, { run: 'make image VERSION="$SLUICE_INPUT_VERSION"' }] },
    ] + [
      // With the values of the inputs, jsonnet makes as many tasks as are wanted.
      {
        name: 'deploy to region %d' % region,
        runtime: runtime,
        depends: ['build'],
        // Text of a person goes into a command as a variable in quotes, not as a part of its text.
        steps: [{ clone: {} }, { run: './deploy.sh "$SLUICE_INPUT_ENVIRONMENT" %d' % region }],
      } + (if ctx.inputs.environment == 'production' then { approval: true } else {})
      for region in std.range(1, ctx.inputs.regions)
    ] + [
      {
        name: 'announce',
        runtime: runtime,
        when: { inputs: { dry_run: false } },
        depends: ['deploy to region %d' % region for region in std.range(1, ctx.inputs.regions)],
        steps: [{ run: 'echo "$SLUICE_INPUT_VERSION is in $SLUICE_INPUT_ENVIRONMENT"' }],
      },
    ],
  }],
}
