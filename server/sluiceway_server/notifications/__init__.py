"""Outgoing webhooks, which notify other systems of runs. `badges`: the state of a branch, for pages.

A webhook follows each new run below its parent (`queue.follow_new_run`, in the transaction that creates the run). What
has happened to a run is read from its record (`events`), so nothing is missed while no server works. The `worker` makes
a delivery of each event, sends it (`sending`, signed by `signing`), and settles it by `retry_rules`. `service` is the
API. What is stored is in `records`.
"""
