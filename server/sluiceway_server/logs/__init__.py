"""Logs of steps, from an executor to a reader.

- `layout`: where the objects of a log are, what they cover, and the index of a complete log. Pure; read it first.
- `packs`: the small logs of an attempt in one object, and when they are packed. Pure.
- `store`: reads and writes these objects. `check` verifies them.
- `receiver`: receives what executors push; `owners` finds which log they may write. `buffer`: holds what is not stored
  yet, and uploads it; `memory`: these bytes, by offset; `settings`: how many of them, and for how long.
- `search`: finds lines that match a pattern. Pure. `run_search` searches the logs of a run. `places` finds lines by
  number and time, by the index; `times`: when bytes were written. Pure.
- `peers`: reads the live ends of logs from the servers that they are pushed to; `peer_service` serves them.
- `reader`: serves readers from the buffer and the store; `states` finds which log they ask for.
- `first_error`: which line of a log looks like an error. Pure. `excerpts` reads the lines around it.
"""
