"""The executor: runs tasks that a server assigns to it.

`app` composes it, `cli` has its command. From the server inwards:

- `session` stays connected; `stream` runs one stream, `outgoing` and `outbox` have what is sent on it.
- `assignments` executes the server's commands; `journal` is what survives a restart.
- `worker` runs one assignment: `plan` decides (pure), `specification` and `steps` build requests and commands for a
  driver (`drivers`), `reporter` builds the updates.
- `output` masks the output of a step (`masking`), `spool` keeps it, `log_pusher` pushes it to a server.
- `disk` ends tasks that fill the disk; `local_repository` finds repositories of this machine.
"""
