"""Runs, tasks and the rules that move them: pure.

Values in, values out: no I/O, no clock, no randomness, no protobuf. docs/design/run-model.md is the contract. Modules:

- `model`: the records and the words for their states. `state`: one run with its tasks and live assignments, and what
  changed between two such states (`events_between`).
- `groups`: paths of groups. `creation`: definitions and the facts of a request become a run.
- `rules`: `advance`, the pass of R1-R10, and what people ask for: `start_run`, `request_stop`, `cancel`, `approve`.
- `updates`: what executors and the placer do to an attempt: `assign`, `report`, `mark_lost`, `adopt`.
- `invariants`: `check`. `placement`, `queues`: who runs where and when. `explain`: why not yet. `restart`.

How an engine uses it, in one transaction function:

    change = updates.report(stored, assignment, report, now).change      # or rules.request_stop(...), ...
    after = rules.advance(change.state, now, touched=change.touched, since=stored)
    # store after.run, after.tasks, change.assignments then after.assignments (the later wins), after.events
"""
