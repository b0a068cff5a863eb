"""Runs: creation, scheduling, the transactions that change them, explanations and retention.

Entry points: `engine` (every change), `service` (the gRPC servicer), `retention`. Read in this order: `transaction`,
the changes of one transaction; `engine`, with `creating`, `create_request`, `request_ids`, `configs` and
`specification`; `scheduler`, with `election`, `recovery_hold`, `timers`, `deadlines` and `sweep`; then what only reads:
`listing`, `references`, `explainer`, `waits`, `attempts`. The rules are in `sluiceway_common.runmodel`, the records in
`runrecords`.
"""
