"""From the text of a configuration to the tasks of a run.

The way: `files` -> `locate` -> `documents` or `evaluation` -> `model` -> `checks` -> `tasks`. Others call
`compile.load`, `tasks.tasks_of_run`, `environment`, `capabilities`, `graphs.render_graph` and `schema.json_schema`. All
of it is pure but for `files` and the child process of `evaluation`.

Nothing is imported here: pydantic and the model take a quarter of a second, and most who need `environment`,
`capabilities` or `when` need neither.
"""
