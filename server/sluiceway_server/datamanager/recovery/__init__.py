"""What to do when etcd and the object storage do not fit together.

Read in this order: `diagnosis` (do they fit?), `history` (where does the log end?), `recovery` (begin a new epoch),
`rescue` (store what only one server knows), `storage_in_use` (is another server at work?).
"""
