"""The stored records of runs and executors, and their codec.

`types` has the record types: columns, indexes, ids, topics. `enums` has a table for each enum. `codec` converts stored
records to and from values of `runmodel`, `definitions` does so for API messages. `executor_messages` checks what
executors send. Read `types` first.
"""
