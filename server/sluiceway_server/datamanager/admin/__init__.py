"""Commands for operators that work on both stores directly, without a running server.

Entry points: `verify` (with `verify_context`, `verify_log`), `export` and `import_` (with `export_file`, the format),
`restore_points`. Recovery and restore themselves are in `recovery`; the status is `app/database_status`.
"""
