from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfigFiles(_message.Message):
    """The files of a run configuration, as they are in a repository."""
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
    """The content of each file, by its path in the repository. At most 1 MiB of paths and contents together."""
    def __init__(self, files: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class ConfigContext(_message.Message):
    """The argument of a configuration that is a function (run-config.md, `ctx`). Fields that do not apply are empty."""
    __slots__ = ("ref_type", "ref", "branch", "tag", "pull_request_id", "commit_sha", "inputs")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REF_TYPE_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    PULL_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    ref_type: str
    """The kind of the ref: `branch`, `tag` or `pull_request`."""
    ref: str
    """The full ref, such as `refs/heads/main`."""
    branch: str
    """The branch. Empty for tags and pull requests."""
    tag: str
    """The tag. Empty for branches and pull requests."""
    pull_request_id: str
    """The id of the pull request. Empty for branches and tags."""
    commit_sha: str
    """The commit id: 40 or 64 hex digits."""
    inputs: _containers.ScalarMap[str, str]
    """Values of inputs by name, as text, for `ctx.inputs`. An input that is not named has its default."""
    def __init__(self, ref_type: _Optional[str] = ..., ref: _Optional[str] = ..., branch: _Optional[str] = ..., tag: _Optional[str] = ..., pull_request_id: _Optional[str] = ..., commit_sha: _Optional[str] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ConfigProblem(_message.Message):
    """An error or a warning about a run configuration."""
    __slots__ = ("path", "line", "column", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    """The place in the configuration, such as `runs[0].tasks[2].depends[1]`."""
    line: int
    """The line in the file, from 1. 0: not known."""
    column: int
    """The column in the file, from 1. 0: not known."""
    message: str
    """What is wrong, and what was probably meant."""
    def __init__(self, path: _Optional[str] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class CheckRunConfigRequest(_message.Message):
    """The request of `CheckRunConfig`."""
    __slots__ = ("config", "context", "driver")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    config: ConfigFiles
    """The files of the configuration."""
    context: ConfigContext
    """The context that the configuration is evaluated in."""
    driver: str
    """The driver that runs the tasks: `sandbox` or `host`. What it does not support is an error. Empty: what no driver
    supports is an error.
    """
    def __init__(self, config: _Optional[_Union[ConfigFiles, _Mapping]] = ..., context: _Optional[_Union[ConfigContext, _Mapping]] = ..., driver: _Optional[str] = ...) -> None: ...

class CheckRunConfigResponse(_message.Message):
    """The response of `CheckRunConfig`."""
    __slots__ = ("errors", "warnings")
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    errors: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    """All errors. Empty: the configuration is valid."""
    warnings: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    """All warnings."""
    def __init__(self, errors: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ...) -> None: ...

class RenderRunConfigRequest(_message.Message):
    """The request of `RenderRunConfig`."""
    __slots__ = ("config", "context")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    config: ConfigFiles
    """The files of the configuration."""
    context: ConfigContext
    """The context that the configuration is evaluated in."""
    def __init__(self, config: _Optional[_Union[ConfigFiles, _Mapping]] = ..., context: _Optional[_Union[ConfigContext, _Mapping]] = ...) -> None: ...

class RenderRunConfigResponse(_message.Message):
    """The response of `RenderRunConfig`."""
    __slots__ = ("json", "errors")
    JSON_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    json: str
    """The configuration as JSON. Empty if it cannot be rendered."""
    errors: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    """All errors. Empty: the configuration is valid."""
    def __init__(self, json: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ...) -> None: ...

class GraphRunConfigRequest(_message.Message):
    """The request of `GraphRunConfig`."""
    __slots__ = ("config", "context", "format")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    config: ConfigFiles
    """The files of the configuration."""
    context: ConfigContext
    """The context that the configuration is evaluated in."""
    format: str
    """The format: `text`, `mermaid` or `dot`. Empty: `text`."""
    def __init__(self, config: _Optional[_Union[ConfigFiles, _Mapping]] = ..., context: _Optional[_Union[ConfigContext, _Mapping]] = ..., format: _Optional[str] = ...) -> None: ...

class GraphRunConfigResponse(_message.Message):
    """The response of `GraphRunConfig`."""
    __slots__ = ("graph", "errors")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    graph: str
    """The graphs in the requested format. Empty if the configuration has errors."""
    errors: _containers.RepeatedCompositeFieldContainer[ConfigProblem]
    """All errors. Empty: the configuration is valid."""
    def __init__(self, graph: _Optional[str] = ..., errors: _Optional[_Iterable[_Union[ConfigProblem, _Mapping]]] = ...) -> None: ...
