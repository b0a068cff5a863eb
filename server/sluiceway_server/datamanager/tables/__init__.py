"""The tables: records in sorted files in the object storage, and the manifests that list them.

A checkpoint (`checkpoint`) merges the log since the newest manifest into new files and stores the next manifest;
`garbage_collector` deletes what no manifest refers to any more. The format is in `block` (records), `footer` (what is
around the blocks) and `manifest`; `file_writer` and `data_file` write and read it. `stores` has the log and all objects
of a database in one value.

Read `manifest`, `footer`, `block`, `data_file`; then `compaction_plan`, `change_set`, `compaction`, `checkpoint`; then
`garbage_rules`, `garbage_collector`.
"""
