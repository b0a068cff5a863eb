import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DependCondition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPEND_CONDITION_UNSPECIFIED: _ClassVar[DependCondition]
    DEPEND_CONDITION_ON_SUCCESS: _ClassVar[DependCondition]
    DEPEND_CONDITION_ON_FAILURE: _ClassVar[DependCondition]
    DEPEND_CONDITION_ON_SKIPPED: _ClassVar[DependCondition]
    DEPEND_CONDITION_ON_STOPPED: _ClassVar[DependCondition]
    DEPEND_CONDITION_ALWAYS: _ClassVar[DependCondition]

class RetryCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETRY_CAUSE_UNSPECIFIED: _ClassVar[RetryCause]
    RETRY_CAUSE_FAILED: _ClassVar[RetryCause]
    RETRY_CAUSE_LOST: _ClassVar[RetryCause]
    RETRY_CAUSE_TIMEOUT: _ClassVar[RetryCause]
    RETRY_CAUSE_SETUP: _ClassVar[RetryCause]
DEPEND_CONDITION_UNSPECIFIED: DependCondition
DEPEND_CONDITION_ON_SUCCESS: DependCondition
DEPEND_CONDITION_ON_FAILURE: DependCondition
DEPEND_CONDITION_ON_SKIPPED: DependCondition
DEPEND_CONDITION_ON_STOPPED: DependCondition
DEPEND_CONDITION_ALWAYS: DependCondition
RETRY_CAUSE_UNSPECIFIED: RetryCause
RETRY_CAUSE_FAILED: RetryCause
RETRY_CAUSE_LOST: RetryCause
RETRY_CAUSE_TIMEOUT: RetryCause
RETRY_CAUSE_SETUP: RetryCause

class EnvironmentValue(_message.Message):
    __slots__ = ("value", "secret")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    value: str
    secret: SecretReference
    def __init__(self, value: _Optional[str] = ..., secret: _Optional[_Union[SecretReference, _Mapping]] = ...) -> None: ...

class SecretReference(_message.Message):
    __slots__ = ("id", "key", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    key: str
    version: int
    def __init__(self, id: _Optional[str] = ..., key: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Depend(_message.Message):
    __slots__ = ("task", "conditions")
    TASK_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    task: str
    conditions: _containers.RepeatedScalarFieldContainer[DependCondition]
    def __init__(self, task: _Optional[str] = ..., conditions: _Optional[_Iterable[_Union[DependCondition, str]]] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("max_attempts", "on")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    on: _containers.RepeatedScalarFieldContainer[RetryCause]
    def __init__(self, max_attempts: _Optional[int] = ..., on: _Optional[_Iterable[_Union[RetryCause, str]]] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("timeout",)
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    timeout: _duration_pb2.Duration
    def __init__(self, timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RegistryAuth(_message.Message):
    __slots__ = ("type", "username", "password", "auth")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    AUTH_FIELD_NUMBER: _ClassVar[int]
    type: str
    username: EnvironmentValue
    password: EnvironmentValue
    auth: EnvironmentValue
    def __init__(self, type: _Optional[str] = ..., username: _Optional[_Union[EnvironmentValue, _Mapping]] = ..., password: _Optional[_Union[EnvironmentValue, _Mapping]] = ..., auth: _Optional[_Union[EnvironmentValue, _Mapping]] = ...) -> None: ...

class TmpfsVolume(_message.Message):
    __slots__ = ("size_bytes",)
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    def __init__(self, size_bytes: _Optional[int] = ...) -> None: ...

class Volume(_message.Message):
    __slots__ = ("path", "tmpfs")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TMPFS_FIELD_NUMBER: _ClassVar[int]
    path: str
    tmpfs: TmpfsVolume
    def __init__(self, path: _Optional[str] = ..., tmpfs: _Optional[_Union[TmpfsVolume, _Mapping]] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("cpu_millis", "memory_bytes")
    CPU_MILLIS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    cpu_millis: int
    memory_bytes: int
    def __init__(self, cpu_millis: _Optional[int] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("command", "port")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    command: str
    port: int
    def __init__(self, command: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class Container(_message.Message):
    __slots__ = ("image", "environment", "user", "privileged", "entrypoint", "volumes", "resources", "ready")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EnvironmentValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EnvironmentValue, _Mapping]] = ...) -> None: ...
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PRIVILEGED_FIELD_NUMBER: _ClassVar[int]
    ENTRYPOINT_FIELD_NUMBER: _ClassVar[int]
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    image: str
    environment: _containers.MessageMap[str, EnvironmentValue]
    user: str
    privileged: bool
    entrypoint: str
    volumes: _containers.RepeatedCompositeFieldContainer[Volume]
    resources: Resources
    ready: Ready
    def __init__(self, image: _Optional[str] = ..., environment: _Optional[_Mapping[str, EnvironmentValue]] = ..., user: _Optional[str] = ..., privileged: _Optional[bool] = ..., entrypoint: _Optional[str] = ..., volumes: _Optional[_Iterable[_Union[Volume, _Mapping]]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ...) -> None: ...

class Runtime(_message.Message):
    __slots__ = ("type", "arch", "containers", "network")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    type: str
    arch: str
    containers: _containers.RepeatedCompositeFieldContainer[Container]
    network: str
    def __init__(self, type: _Optional[str] = ..., arch: _Optional[str] = ..., containers: _Optional[_Iterable[_Union[Container, _Mapping]]] = ..., network: _Optional[str] = ...) -> None: ...

class RunStep(_message.Message):
    __slots__ = ("command", "environment", "working_dir", "shell", "tty")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EnvironmentValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EnvironmentValue, _Mapping]] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIR_FIELD_NUMBER: _ClassVar[int]
    SHELL_FIELD_NUMBER: _ClassVar[int]
    TTY_FIELD_NUMBER: _ClassVar[int]
    command: str
    environment: _containers.MessageMap[str, EnvironmentValue]
    working_dir: str
    shell: str
    tty: bool
    def __init__(self, command: _Optional[str] = ..., environment: _Optional[_Mapping[str, EnvironmentValue]] = ..., working_dir: _Optional[str] = ..., shell: _Optional[str] = ..., tty: _Optional[bool] = ...) -> None: ...

class CloneStep(_message.Message):
    __slots__ = ("depth", "recurse_submodules")
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    RECURSE_SUBMODULES_FIELD_NUMBER: _ClassVar[int]
    depth: int
    recurse_submodules: bool
    def __init__(self, depth: _Optional[int] = ..., recurse_submodules: _Optional[bool] = ...) -> None: ...

class ArchiveContents(_message.Message):
    __slots__ = ("source_dir", "dest_dir", "paths")
    SOURCE_DIR_FIELD_NUMBER: _ClassVar[int]
    DEST_DIR_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    source_dir: str
    dest_dir: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, source_dir: _Optional[str] = ..., dest_dir: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class SaveToWorkspaceStep(_message.Message):
    __slots__ = ("contents",)
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    contents: _containers.RepeatedCompositeFieldContainer[ArchiveContents]
    def __init__(self, contents: _Optional[_Iterable[_Union[ArchiveContents, _Mapping]]] = ...) -> None: ...

class RestoreWorkspaceStep(_message.Message):
    __slots__ = ("dest_dir",)
    DEST_DIR_FIELD_NUMBER: _ClassVar[int]
    dest_dir: str
    def __init__(self, dest_dir: _Optional[str] = ...) -> None: ...

class SaveCacheStep(_message.Message):
    __slots__ = ("key", "contents")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    contents: _containers.RepeatedCompositeFieldContainer[ArchiveContents]
    def __init__(self, key: _Optional[str] = ..., contents: _Optional[_Iterable[_Union[ArchiveContents, _Mapping]]] = ...) -> None: ...

class RestoreCacheStep(_message.Message):
    __slots__ = ("keys", "dest_dir")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    DEST_DIR_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    dest_dir: str
    def __init__(self, keys: _Optional[_Iterable[str]] = ..., dest_dir: _Optional[str] = ...) -> None: ...

class SaveArtifactsStep(_message.Message):
    __slots__ = ("artifact_name", "paths")
    ARTIFACT_NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    artifact_name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, artifact_name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class SaveReportsStep(_message.Message):
    __slots__ = ("paths",)
    PATHS_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, paths: _Optional[_Iterable[str]] = ...) -> None: ...

class StepDefinition(_message.Message):
    __slots__ = ("name", "always", "skip", "run", "clone", "save_to_workspace", "restore_workspace", "save_cache", "restore_cache", "save_artifacts", "save_reports")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALWAYS_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CLONE_FIELD_NUMBER: _ClassVar[int]
    SAVE_TO_WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    RESTORE_WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    SAVE_CACHE_FIELD_NUMBER: _ClassVar[int]
    RESTORE_CACHE_FIELD_NUMBER: _ClassVar[int]
    SAVE_ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    SAVE_REPORTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    always: bool
    skip: bool
    run: RunStep
    clone: CloneStep
    save_to_workspace: SaveToWorkspaceStep
    restore_workspace: RestoreWorkspaceStep
    save_cache: SaveCacheStep
    restore_cache: RestoreCacheStep
    save_artifacts: SaveArtifactsStep
    save_reports: SaveReportsStep
    def __init__(self, name: _Optional[str] = ..., always: _Optional[bool] = ..., skip: _Optional[bool] = ..., run: _Optional[_Union[RunStep, _Mapping]] = ..., clone: _Optional[_Union[CloneStep, _Mapping]] = ..., save_to_workspace: _Optional[_Union[SaveToWorkspaceStep, _Mapping]] = ..., restore_workspace: _Optional[_Union[RestoreWorkspaceStep, _Mapping]] = ..., save_cache: _Optional[_Union[SaveCacheStep, _Mapping]] = ..., restore_cache: _Optional[_Union[RestoreCacheStep, _Mapping]] = ..., save_artifacts: _Optional[_Union[SaveArtifactsStep, _Mapping]] = ..., save_reports: _Optional[_Union[SaveReportsStep, _Mapping]] = ...) -> None: ...

class TaskDefinition(_message.Message):
    __slots__ = ("name", "runtime", "environment", "working_dir", "shell", "user", "steps", "depends", "ignore_failure", "approval", "lock", "skip", "docker_registries_auth", "task_timeout_interval", "retry", "labels", "priority", "resources")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: EnvironmentValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[EnvironmentValue, _Mapping]] = ...) -> None: ...
    class DockerRegistriesAuthEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: RegistryAuth
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[RegistryAuth, _Mapping]] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIR_FIELD_NUMBER: _ClassVar[int]
    SHELL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_FIELD_NUMBER: _ClassVar[int]
    IGNORE_FAILURE_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    DOCKER_REGISTRIES_AUTH_FIELD_NUMBER: _ClassVar[int]
    TASK_TIMEOUT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    name: str
    runtime: Runtime
    environment: _containers.MessageMap[str, EnvironmentValue]
    working_dir: str
    shell: str
    user: str
    steps: _containers.RepeatedCompositeFieldContainer[StepDefinition]
    depends: _containers.RepeatedCompositeFieldContainer[Depend]
    ignore_failure: bool
    approval: Approval
    lock: str
    skip: bool
    docker_registries_auth: _containers.MessageMap[str, RegistryAuth]
    task_timeout_interval: _duration_pb2.Duration
    retry: Retry
    labels: _containers.ScalarMap[str, str]
    priority: int
    resources: Resources
    def __init__(self, name: _Optional[str] = ..., runtime: _Optional[_Union[Runtime, _Mapping]] = ..., environment: _Optional[_Mapping[str, EnvironmentValue]] = ..., working_dir: _Optional[str] = ..., shell: _Optional[str] = ..., user: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[StepDefinition, _Mapping]]] = ..., depends: _Optional[_Iterable[_Union[Depend, _Mapping]]] = ..., ignore_failure: _Optional[bool] = ..., approval: _Optional[_Union[Approval, _Mapping]] = ..., lock: _Optional[str] = ..., skip: _Optional[bool] = ..., docker_registries_auth: _Optional[_Mapping[str, RegistryAuth]] = ..., task_timeout_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("repository", "ref_type", "ref", "branch", "tag", "pull_request_id", "commit_sha", "message", "link")
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    REF_TYPE_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    PULL_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    repository: str
    ref_type: str
    ref: str
    branch: str
    tag: str
    pull_request_id: str
    commit_sha: str
    message: str
    link: str
    def __init__(self, repository: _Optional[str] = ..., ref_type: _Optional[str] = ..., ref: _Optional[str] = ..., branch: _Optional[str] = ..., tag: _Optional[str] = ..., pull_request_id: _Optional[str] = ..., commit_sha: _Optional[str] = ..., message: _Optional[str] = ..., link: _Optional[str] = ...) -> None: ...
