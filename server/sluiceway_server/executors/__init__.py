"""What executors connect to: their streams and sessions, who is live, and what is done about those who vanish.

What an executor is, and how that changes, is in `sluiceway_common.runmodel.executor_state`: read that first. Then, from
a hello to its end:

- `service`: ExecutorService, which executors call. `admin_service`: ExecutorAdminService, which people call.
- `stream`: one stream from its hello to its end. `sessions` commits what the stream changes of the executor's record;
  `reconciliation` makes both sides agree about assignments after a hello, by the table in `settlement`.
- `connection`: the queues of a stream. `delivery`: notices of the log become commands. `commands`: commands are sent
  again until they are acknowledged. `durability`: what must be in the object storage before it is sent.
- `presence`: the keys of live executors in etcd. `failure_detector`: executors that stay away are declared vanished;
  `absence` has its timers.
"""
