"""Runs, tasks and the rules that move them: pure.

Values in, values out: no I/O, no clock, no randomness, no protobuf. docs/design/run-model.md is the contract. Modules:

- `model`: the records and the words for their states. `state`: one run with its tasks and live assignments, and what
  changed between two such states (`events_between`).
- `groups`: paths of groups. `creation`: definitions and the facts of a request become a run.
- `rules`: `advance`, the pass of R1-R10, and what people ask for: `start_run`, `request_stop`, `cancel`, `approve`.
- `updates`: what executors and the scheduler do to an attempt: `assign`, `report`, `mark_lost`, `adopt`.
- `invariants`: `check`. `placement`, `queues`: who runs where and when. `explain`: why not yet. `restart`.

How an engine uses it, in one transaction function:

    said = updates.report(stored, assignment, report, now)    # or rules.request_stop(...), rules.approve(...), ...
    after = rules.settle(said.change, now)
    after = rules.settle(after.then(updates.assign(after.state, ...)), now)    # for each choice of placement
    # store after.run, after.tasks, after.assignments (final ones too) and after.events; if after.frees_group, empty
    # the queue record; keep after.state for the next transaction: it remembers, and a pass over it is cheap

"""
