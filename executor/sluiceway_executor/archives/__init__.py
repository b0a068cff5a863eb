"""Archives of steps: files that leave a pod for other tasks, later runs or people, and come back into one.

- `members`: which files of a folder are taken, and what a member of an archive may be. Pure; read it first.
- `keys`: the templates in keys of caches.
- `packing`: from a pod to a file of this machine, and back. A tar stream compressed by zstd for tasks, ZIP for people.
- `transfer`: between this machine and a server.
- `steps`: runs the steps that save and restore.
"""
