"""A fake API server of Kubernetes, with a kubelet that runs the containers of pods on a real Docker daemon.

It is no Kubernetes: it has pods, secrets, nodes and namespaces, and of these what clients of pods use. `store` has the
objects and their revisions, `server` is the API over HTTP, `streams` runs commands in containers, `kubelet` runs the
pods, and `faults` breaks things on request. Run it with `python -m tests.fakes.kubernetes`. What it promises is checked
with real clients in `tests/contract/kubernetes`.
"""
