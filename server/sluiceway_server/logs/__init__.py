"""Logs of steps, from an executor to a reader.

- `layout`: where the objects of a log are, what they cover, and the index of a complete log. Pure; read it first.
- `store`: reads and writes these objects. `check` verifies them.
- `receiver`: receives what executors push; `owners` finds which log they may write. `buffer`: holds what is not stored
  yet, and uploads it.
- `reader`: serves readers from the buffer and the store; `states` finds which log they ask for.
- `first_error`: which line of a log looks like an error. Pure. `excerpts` reads the lines around it.
"""
