"""Archives of steps: files for other tasks, for later runs and for people.

- `layout`: where their objects are. Pure; read it first.
- `store`: reads and writes these objects.
- `finding`: what a step restores, from the records of its run, and from caches.
- `service`: what executors put, find and get.
- `artifacts`: what people list and download.

Which archives an attempt stored is part of its task's record, reported by its executor; a cache has a record of its
own. How long they are kept: `runs/archive_retention`.
"""
