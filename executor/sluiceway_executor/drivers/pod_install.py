"""Copies the files of `pod_bundle` from the image that has them into a folder: `pod_install.py FOLDER`.

It runs in a container of that image, before the first container of a pod, which mounts the folder.
"""
# Without pathlib and shutil, which the bundle does not have.
# ruff: noqa: PTH100, PTH101, PTH103, PTH112, PTH116, PTH120, PTH123, PTH208

from __future__ import annotations

import os
import sys


def copy_tree(source: str, target: str) -> None:
    """Copy a folder of files and folders."""
    for name in os.listdir(source):
        inner, copied = f"{source}/{name}", f"{target}/{name}"
        if os.path.isdir(inner):
            os.makedirs(copied, exist_ok=True)
            copy_tree(inner, copied)
            continue
        with open(inner, "rb") as stream, open(copied, "wb") as sink:
            while os.sendfile(sink.fileno(), stream.fileno(), None, 1 << 24):
                pass
        os.chmod(copied, os.stat(inner).st_mode & 0o777)


if __name__ == "__main__":
    copy_tree(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), sys.argv[1])
