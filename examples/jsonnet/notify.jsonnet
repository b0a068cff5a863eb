// Somebody is told when the run fails, whichever task it was: a chain ends in one task, and the message depends on that.
local runtime = { containers: [{ image: 'curlimages/curl:8.10.1' }] };

{
  runs: [{
    name: 'notify',
    tasks: [
      { name: 'build', runtime: runtime, steps: [{ clone: {} }, { run: 'make' }] },
      { name: 'test', runtime: runtime, depends: ['build'], steps: [{ clone: {} }, { run: 'make test' }] },
      {
        name: 'tell the team',
        runtime: runtime,
        // It failed, or was skipped because something before it failed.
        depends: [{ test: ['on_failure', 'on_skipped'] }],
        ignore_failure: true,
        environment: { HOOK: { from_variable: 'chat_hook' } },
        steps: [{ run: 'curl -fsS -d "run $SLUICE_RUN_NUMBER failed" "$HOOK"' }],
      },
    ],
  }],
}
