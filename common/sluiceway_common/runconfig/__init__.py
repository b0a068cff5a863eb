"""Run configurations: from the text in a repository to the `TaskDefinition` messages of a run.

In the order of the data: `files` -> `locate` -> `documents` or `evaluation` -> `model` -> `checks` -> `tasks`. What
lies in `.agola/` passes through `agola` before the model.
Entry points: `compile.load`, `runs`, `tasks.tasks_of_run`, `environment`, `capabilities`, `graphs.render_graph` and
`schema.json_schema`. All is pure except `files` and the child process of `evaluation`. Only `tasks` imports protobuf.

This module imports nothing: pydantic and the model take a quarter of a second to import, and `environment`,
`capabilities` and `when` need neither.
"""
