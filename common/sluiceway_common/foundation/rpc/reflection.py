"""Server reflection: `grpc.reflection.v1` and `v1alpha`, of the services and methods that a server offers.

`grpcio-reflection` has `v1alpha` only, and describes whole files. Both versions have the same messages under two
names, so one handler serves both. It reads from a pool of descriptors of its own, without what is not offered: a client
that lists methods must not find one that returns UNIMPLEMENTED.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from sluiceway_common.foundation.rpc.offer import Handlers, Registry

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
_V1_FILE = "grpc/reflection/v1/reflection.proto"


def add_reflection(handlers: Handlers) -> None:
    """Add the two reflection services, which describe all services in `handlers` and themselves."""
    _register_v1()
    offered = {service: frozenset(methods) for service, methods in handlers.items()}
    own = frozenset({"ServerReflectionInfo"})
    servicer = _Reflection({**offered, reflection.SERVICE_NAME: own, REFLECTION_V1: own})
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # ships no types
        servicer, Registry(handlers)
    )
    handlers[REFLECTION_V1] = handlers[reflection.SERVICE_NAME]


class _Reflection(reflection.aio.ReflectionServicer):
    """The standard servicer, which knows services but not their methods as symbols."""

    def __init__(self, offered: Mapping[str, Collection[str]]) -> None:
        super().__init__(offered, pool=_pool_of(offered))
        self._offered = offered

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        service, _, method = fully_qualified_name.rpartition(".")
        symbol = service if method in self._offered.get(service, ()) else fully_qualified_name
        return super()._file_containing_symbol(request, symbol)  # type: ignore[misc]  # its stubs leave it out


def _pool_of(offered: Mapping[str, Collection[str]]) -> DescriptorPool:
    """Copy the files of services, without the services and methods that are not offered."""
    pool, added = DescriptorPool(), set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        copy = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(copy)
        for service in list(copy.service):
            methods = offered.get(f"{copy.package}.{service.name}")
            if methods is None:
                copy.service.remove(service)
                continue
            for method in [method for method in service.method if method.name not in methods]:
                service.method.remove(method)
        pool.AddSerializedFile(copy.SerializeToString())

    for name in offered:
        add(descriptor_pool.Default().FindFileContainingSymbol(name))
    return pool


@cache
def _register_v1() -> None:
    """Add `grpc.reflection.v1` to the default pool: the file of `v1alpha` with another package."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        pool.AddSerializedFile(_v1_file().SerializeToString())


def _v1_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    before, after = f".{file.package}.", ".grpc.reflection.v1."
    file.name, file.package = _V1_FILE, "grpc.reflection.v1"
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(before, after)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(before, after)
            method.output_type = method.output_type.replace(before, after)
    return file
