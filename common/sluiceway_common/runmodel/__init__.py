"""Runs, tasks and executors, and the rules that change them. Pure: no I/O, clock, randomness or protobuf.

The contract is docs/design/run-model.md. Read in this order:

- `model`: a run, its tasks and their assignments, with `phases`, `conditions`, `limits`, `reasons`, `steps` and
  `definitions` as parts. `state`: one run as a value, and what changed between two of them (`events_between`).
  `invariants`: what always holds.
- `rules`: the pass (`advance`), which repeats the `decisions` (R1-R12) until nothing changes. `stopping`: R7 and R16,
  timeouts and orders to stop. `requests`: R0, R17 and R18, what people ask for. `updates`: R13-R15, what the scheduler
  and executors do to an attempt.
- `creation`: a request becomes a run. `restart`: a run becomes the request for another one. `groups`: paths of groups.
- `queues` and `placement` decide which run starts, and where a task runs. `explain` says why something waits, or how it
  ended. `executor_state`: the stored state of an executor.

In one transaction:

    reported = updates.report(stored, assignment, report, now)  # or requests.request_stop(...), requests.approve(...)
    after = rules.settle(reported.change, now)
    after = rules.settle(after.then(updates.assign(after.state, ...)), now)  # for each choice of placement

Then store `after.run`, `after.tasks`, `after.assignments`, and the events between the stored state and `after.state`.
Keep `after.state` for the next transaction: it has the results of the last pass, so that the next one evaluates only
what changed.
"""
