"""What the descriptors say of HTTP: one `Rule` for each binding of each method. Pure.

Everything that the gateway knows of an RPC is here, read from `google.api.http` and from our own options
(`sluiceway.api.options.v1`). A new RPC needs no code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from google.api import annotations_pb2, http_pb2  # type: ignore[import-untyped]  # ships no types
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sluiceway.api.config.v1 import config_service_pb2, version_service_pb2
from sluiceway.api.database.v1 import database_service_pb2
from sluiceway.api.executor.v1 import executor_admin_service_pb2
from sluiceway.api.options.v1 import options_pb2
from sluiceway.api.project.v1 import (
    audit_service_pb2,
    badge_service_pb2,
    delivery_service_pb2,
    identity_service_pb2,
    invitation_service_pb2,
    linked_account_service_pb2,
    login_service_pb2,
    organization_service_pb2,
    project_service_pb2,
    quota_service_pb2,
    remote_source_service_pb2,
    schedule_service_pb2,
    secret_service_pb2,
    token_service_pb2,
    user_service_pb2,
    variable_service_pb2,
    webhook_service_pb2,
)
from sluiceway.api.run.v1 import hold_service_pb2, run_service_pb2
from sluiceway_server.gateway.templates import PathTemplate

__all__ = ["HTTP_SERVICES", "Rule", "field_of", "rules_of"]

# Imported for their descriptors: what is in the pool can be routed to.
_FILES = (
    audit_service_pb2,
    config_service_pb2,
    version_service_pb2,
    database_service_pb2,
    badge_service_pb2,
    delivery_service_pb2,
    executor_admin_service_pb2,
    identity_service_pb2,
    invitation_service_pb2,
    linked_account_service_pb2,
    login_service_pb2,
    organization_service_pb2,
    project_service_pb2,
    quota_service_pb2,
    remote_source_service_pb2,
    schedule_service_pb2,
    secret_service_pb2,
    token_service_pb2,
    user_service_pb2,
    variable_service_pb2,
    webhook_service_pb2,
    hold_service_pb2,
    run_service_pb2,
)

HTTP_SERVICES: tuple[str, ...] = tuple(
    sorted(service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values())
)

# The generated stubs call these plain FieldDescriptors.
_HTTP: Any = annotations_pb2.http
_ACCESS: Any = options_pb2.access
_HTTP_RESULT: Any = options_pb2.http_result
_RESUME: Any = options_pb2.resume
_RAW: Any = options_pb2.raw
_RAW_TEXT: Any = options_pb2.raw_text
_FILE_PART: Any = options_pb2.file_part


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to reach one method over HTTP.

    Attributes:
        rpc: its path, `/package.Service/Method`.
        http_method: such as `POST`.
        template: of the path.
        body: `*`: the whole request; a field's name: that field; empty: there is no body.
        response_body: the field of the response that is the body; empty: all of it.
        request: the class of its requests.
        response: the class of its responses.
        streams: whether the response is a stream.
        success: the HTTP code of a success.
        location: the template of the Location header; empty: no such header.
        public: whether it needs no token.
        scope: that a token needs.
        request_resume: the request field that `Last-Event-ID` sets; empty: no field.
        response_resume: the response field that becomes the event's id.
        response_raw: the response field that `Accept: text/plain` asks for.
        media_type: of the bytes of that field; empty: any.
        response_text: the response field that has those bytes as text, for JSON.
        file_parts: of a stream that can be served as a file: its fields by what they say of it (`FILE_PART_SIZE`).
    """

    rpc: str
    http_method: str
    template: PathTemplate
    body: str
    response_body: str
    request: type[Message]
    response: type[Message]
    streams: bool
    success: int
    location: str
    public: bool
    scope: str
    request_resume: str
    response_resume: str
    response_raw: str
    media_type: str
    response_text: str
    file_parts: Mapping[int, str]

    def __reduce__(self) -> tuple[Callable[..., Rule], tuple[str, str, str]]:
        """Pickle it by name: its classes of messages cannot be pickled."""
        return _rule_named, (self.rpc, self.http_method, self.template.text)

    @property
    def request_type(self) -> Descriptor:
        """The descriptor of its requests."""
        return cast("Descriptor", self.request.DESCRIPTOR)

    @property
    def response_type(self) -> Descriptor:
        """The descriptor of its responses."""
        return cast("Descriptor", self.response.DESCRIPTOR)


def rules_of(services: Iterable[str] = HTTP_SERVICES) -> tuple[Rule, ...]:
    """Return the rules of services by full name. Methods without an HTTP annotation have no rule.

    Raises:
        KeyError: there is no such service.
        ValueError: an annotation contradicts its method; the message names it.
    """
    rules: list[Rule] = []
    for name in services:
        service = descriptor_pool.Default().FindServiceByName(name)
        for method in service.methods:
            options = method.GetOptions()
            if not options.HasExtension(_HTTP):
                continue
            binding = options.Extensions[_HTTP]
            rules += [_rule(method, one) for one in (binding, *binding.additional_bindings)]
    return tuple(rules)


@cache
def _rule_named(rpc: str, http_method: str, template: str) -> Rule:
    of_service = rules_of([rpc[1:].partition("/")[0]])
    return next(r for r in of_service if (r.rpc, r.http_method, r.template.text) == (rpc, http_method, template))


def field_of(message: Descriptor, path: str) -> FieldDescriptor | None:
    """Return a field by its dotted path of proto names, or None."""
    field: FieldDescriptor | None = None
    descriptor: Descriptor | None = message
    for name in path.split("."):
        if descriptor is None:
            return None
        field = descriptor.fields_by_name.get(name)
        if field is None:
            return None
        descriptor = field.message_type
    return field


def _rule(method: MethodDescriptor, binding: http_pb2.HttpRule) -> Rule:
    rpc = f"/{method.containing_service.full_name}/{method.name}"
    if method.client_streaming:
        raise ValueError(f"{rpc} takes a stream, which HTTP cannot send")
    kind = binding.WhichOneof("pattern")
    if kind is None:
        raise ValueError(f"{rpc} has an HTTP annotation without a path")
    if kind == "custom":
        http_method, path = binding.custom.kind, binding.custom.path
    else:
        http_method, path = kind.upper(), getattr(binding, kind)
    template = PathTemplate.parse(path)
    request, response = method.input_type, method.output_type
    for variable in template.variables:
        field = field_of(request, variable)
        if field is None or field.message_type is not None or field.is_repeated:
            raise ValueError(f"{rpc}: {path} names {variable}, which is no single value of its request")
    if binding.body not in {"", "*"} and binding.body not in request.fields_by_name:
        raise ValueError(f"{rpc}: its request has no field {binding.body}")
    if binding.response_body and binding.response_body not in response.fields_by_name:
        raise ValueError(f"{rpc}: its response has no field {binding.response_body}")
    options = method.GetOptions()
    result, access = options.Extensions[_HTTP_RESULT], options.Extensions[_ACCESS]
    for variable in re.findall(r"\{([^}]*)\}", result.location):
        if field_of(response, variable) is None:
            raise ValueError(f"{rpc}: its Location names {variable}, which its response does not have")
    return Rule(
        rpc=rpc,
        http_method=http_method,
        template=template,
        body=binding.body,
        response_body=binding.response_body,
        request=GetMessageClass(request),
        response=GetMessageClass(response),
        streams=method.server_streaming,
        success=result.code or (204 if not response.fields and not method.server_streaming else 200),
        location=result.location,
        public=access.caller == options_pb2.CALLER_PUBLIC,
        scope=access.scope,
        request_resume=_marked(request, _RESUME),
        response_resume=_marked(response, _RESUME),
        response_raw=_marked(response, _RAW),
        media_type=result.media_type,
        response_text=_marked(response, _RAW_TEXT),
        file_parts=_file_parts(request, response),
    )


def _marked(message: Descriptor, option: Any) -> str:
    for field in message.fields:
        if field.GetOptions().Extensions[option]:
            return str(field.name)
    return ""


def _file_parts(*messages: Descriptor) -> Mapping[int, str]:
    fields = [field for message in messages for field in message.fields]
    parts = {int(field.GetOptions().Extensions[_FILE_PART]): field.name for field in fields}
    parts.pop(options_pb2.FILE_PART_UNSPECIFIED, None)
    return parts
