from google.api import annotations_pb2 as _annotations_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfigFiles(_message.Message):
    __slots__ = ("files",)
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    FILES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.ScalarMap[str, bytes]
    def __init__(self, files: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class ConfigContext(_message.Message):
    __slots__ = ("ref_type", "ref", "branch", "tag", "pull_request_id", "commit_sha")
    REF_TYPE_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    PULL_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    ref_type: str
    ref: str
    branch: str
    tag: str
    pull_request_id: str
    commit_sha: str
    def __init__(self, ref_type: _Optional[str] = ..., ref: _Optional[str] = ..., branch: _Optional[str] = ..., tag: _Optional[str] = ..., pull_request_id: _Optional[str] = ..., commit_sha: _Optional[str] = ...) -> None: ...

class ConfigProblem(_message.Message):
    __slots__ = ("path", "line", "column", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    line: int
    column: int
    message: str
    def __init__(self, path: _Optional[str] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class CheckRunConfigRequest(_message.Message):
    __slots__ = ("config", "context")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    config: ConfigFiles
    context: ConfigContext
    def __init__(self, config: _Optional[_Union[ConfigFiles, _Mapping]] = ..., context: _Optional[_Union[ConfigContext, _Mapping]] = ...) -> None: ...

class CheckRunConfigResponse(_message.Message):
    __slots__ = ("errors", "warnings")
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    errors: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    warnings: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    def __init__(self, errors: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ...) -> None: ...

class RenderRunConfigRequest(_message.Message):
    __slots__ = ("config", "context")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    config: ConfigFiles
    context: ConfigContext
    def __init__(self, config: _Optional[_Union[ConfigFiles, _Mapping]] = ..., context: _Optional[_Union[ConfigContext, _Mapping]] = ...) -> None: ...

class RenderRunConfigResponse(_message.Message):
    __slots__ = ("json", "errors")
    JSON_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    json: str
    errors: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    def __init__(self, json: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ...) -> None: ...

class GraphRunConfigRequest(_message.Message):
    __slots__ = ("config", "context", "format")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    config: ConfigFiles
    context: ConfigContext
    format: str
    def __init__(self, config: _Optional[_Union[ConfigFiles, _Mapping]] = ..., context: _Optional[_Union[ConfigContext, _Mapping]] = ..., format: _Optional[str] = ...) -> None: ...

class GraphRunConfigResponse(_message.Message):
    __slots__ = ("graph", "errors")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    graph: str
    errors: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    def __init__(self, graph: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ...) -> None: ...
