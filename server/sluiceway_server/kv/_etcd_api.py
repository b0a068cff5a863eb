"""etcd's protobuf messages and stubs, as `etcd3aio` ships them, imported without a trace.

`etcd3aio` puts its folder of protos in front of `sys.path`, with a copy of `google.api` in it that would shadow the one
of googleapis-common-protos for everybody else. So the common protos are imported first, which makes etcd3aio use them,
and its folder is taken off the path again, which nothing needs once the modules are loaded. Remove this when etcd3aio
imports its protos by their full names.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The order is the point: these must be in sys.modules before etcd3aio looks for them.
from google.api import annotations_pb2, http_pb2  # type: ignore[import-untyped]  # ships no types  # isort: skip
import etcd3aio  # isort: skip
from etcd3aio import _protobuf as api  # isort: skip

__all__ = ["api"]

_ = (annotations_pb2, http_pb2)

_PROTOS = str(Path(etcd3aio.__file__).parent / "proto")
while _PROTOS in sys.path:
    sys.path.remove(_PROTOS)
