"""Checks that the first process of a pod lives: `pod_alive.py NAME`, with the name of its socket. Ends with 1 if not.

It is the liveness probe of services, so that they end with the first container (kubernetes.md, "Dead-man's switch").
"""
# ruff: noqa: PTH123 - as in pod_install

from __future__ import annotations

import os
import sys


def main(name: str) -> None:
    """Exit with 0 if the socket is in the network namespace of the pod, which its containers share, else with 1."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as stream:
        os._exit(0 if any(line.rstrip().endswith(f" @{name}") for line in stream) else 1)


if __name__ == "__main__":
    main(sys.argv[1])
