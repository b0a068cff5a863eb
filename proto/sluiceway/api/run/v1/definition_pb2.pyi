import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DependCondition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """An outcome of a parent task that lets the child run."""
    __slots__ = ()
    DEPEND_CONDITION_UNSPECIFIED: _ClassVar[DependCondition]
    """Not set. Refused in requests."""
    DEPEND_CONDITION_ON_SUCCESS: _ClassVar[DependCondition]
    """The parent succeeded."""
    DEPEND_CONDITION_ON_FAILURE: _ClassVar[DependCondition]
    """The parent failed or was lost."""
    DEPEND_CONDITION_ON_SKIPPED: _ClassVar[DependCondition]
    """The parent was skipped."""
    DEPEND_CONDITION_ON_STOPPED: _ClassVar[DependCondition]
    """The parent was stopped or cancelled."""
    DEPEND_CONDITION_ALWAYS: _ClassVar[DependCondition]
    """The parent is finished, with any outcome."""

class RetryCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """Why an attempt of a task failed. An attempt has exactly one cause."""
    __slots__ = ()
    RETRY_CAUSE_UNSPECIFIED: _ClassVar[RetryCause]
    """Not set. Refused in requests."""
    RETRY_CAUSE_FAILED: _ClassVar[RetryCause]
    """A step failed, or an archive could not be stored."""
    RETRY_CAUSE_LOST: _ClassVar[RetryCause]
    """The executor vanished."""
    RETRY_CAUSE_TIMEOUT: _ClassVar[RetryCause]
    """The attempt timed out."""
    RETRY_CAUSE_SETUP: _ClassVar[RetryCause]
    """The pod could not be set up."""

class RetryAvoid(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """What the next attempt of a task avoids."""
    __slots__ = ()
    RETRY_AVOID_UNSPECIFIED: _ClassVar[RetryAvoid]
    """Not set. Refused in requests."""
    RETRY_AVOID_EXECUTOR: _ClassVar[RetryAvoid]
    """The executor of the last attempt, if another one could run the task."""

class InputType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The type of an input."""
    __slots__ = ()
    INPUT_TYPE_UNSPECIFIED: _ClassVar[InputType]
    """Not set."""
    INPUT_TYPE_STRING: _ClassVar[InputType]
    """A text."""
    INPUT_TYPE_NUMBER: _ClassVar[InputType]
    """A number, as JSON writes it."""
    INPUT_TYPE_BOOLEAN: _ClassVar[InputType]
    """`true` or `false`."""
    INPUT_TYPE_CHOICE: _ClassVar[InputType]
    """One of the options."""
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
RETRY_AVOID_UNSPECIFIED: RetryAvoid
RETRY_AVOID_EXECUTOR: RetryAvoid
INPUT_TYPE_UNSPECIFIED: InputType
INPUT_TYPE_STRING: InputType
INPUT_TYPE_NUMBER: InputType
INPUT_TYPE_BOOLEAN: InputType
INPUT_TYPE_CHOICE: InputType

class EnvironmentValue(_message.Message):
    """The value of an environment variable."""
    __slots__ = ("value", "secret", "variable")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    value: str
    """A plain value. Everybody who can see the run can see it."""
    secret: SecretReference
    """A reference to a value of a secret. It is resolved when the task is sent to an executor. Only the server sets it."""
    variable: str
    """The name of a variable of the run's project. Only in requests: when the run is created, it becomes a reference to
    a value of a secret, or an empty value and a warning of the run.
    """
    def __init__(self, value: _Optional[str] = ..., secret: _Optional[_Union[SecretReference, _Mapping]] = ..., variable: _Optional[str] = ...) -> None: ...

class SecretReference(_message.Message):
    """A reference to one version of a value of a secret."""
    __slots__ = ("id", "key", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The secret's id."""
    key: str
    """The key of the value."""
    version: int
    """The version of the secret. The values of a version never change."""
    def __init__(self, id: _Optional[str] = ..., key: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Depend(_message.Message):
    """An edge of the graph. A task runs if all of its edges hold. An edge holds if one of its conditions does."""
    __slots__ = ("task", "conditions")
    TASK_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    task: str
    """The name of the parent task."""
    conditions: _containers.RepeatedScalarFieldContainer[DependCondition]
    """The accepted outcomes of the parent. Empty: `ON_SUCCESS`."""
    def __init__(self, task: _Optional[str] = ..., conditions: _Optional[_Iterable[_Union[DependCondition, str]]] = ...) -> None: ...

class Retry(_message.Message):
    """Whether and when a failed attempt is followed by another one."""
    __slots__ = ("max_attempts", "on", "exit_codes", "avoid")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODES_FIELD_NUMBER: _ClassVar[int]
    AVOID_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    """The largest number of attempts, including the first. 0: 1."""
    on: _containers.RepeatedScalarFieldContainer[RetryCause]
    """The causes after which the task is retried. Empty: `FAILED`, `TIMEOUT` and `SETUP`."""
    exit_codes: _containers.RepeatedScalarFieldContainer[int]
    """After the cause `FAILED` the task is retried only if the step that failed ended with one of these exit statuses.
    Empty: with any.
    """
    avoid: _containers.RepeatedScalarFieldContainer[RetryAvoid]
    """What the next attempt avoids."""
    def __init__(self, max_attempts: _Optional[int] = ..., on: _Optional[_Iterable[_Union[RetryCause, str]]] = ..., exit_codes: _Optional[_Iterable[int]] = ..., avoid: _Optional[_Iterable[_Union[RetryAvoid, str]]] = ...) -> None: ...

class Approval(_message.Message):
    """An approval: a person must approve the task before it runs."""
    __slots__ = ("timeout", "owners_only")
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    OWNERS_ONLY_FIELD_NUMBER: _ClassVar[int]
    timeout: _duration_pb2.Duration
    """How long the task waits. A task that is not approved in this time is skipped. Not set: 7 days."""
    owners_only: bool
    """Whether only owners may approve or reject it: those who may manage the project (run-model.md R18). Else members may."""
    def __init__(self, timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., owners_only: _Optional[bool] = ...) -> None: ...

class RegistryAuth(_message.Message):
    """Credentials of a container registry."""
    __slots__ = ("type", "username", "password", "auth")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    AUTH_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The kind of the credentials: `basic` (user name and password) or `encodedauth`."""
    username: EnvironmentValue
    """The user name, for `basic`."""
    password: EnvironmentValue
    """The password, for `basic`."""
    auth: EnvironmentValue
    """`user:password` in base64, for `encodedauth`."""
    def __init__(self, type: _Optional[str] = ..., username: _Optional[_Union[EnvironmentValue, _Mapping]] = ..., password: _Optional[_Union[EnvironmentValue, _Mapping]] = ..., auth: _Optional[_Union[EnvironmentValue, _Mapping]] = ...) -> None: ...

class TmpfsVolume(_message.Message):
    """A file system in memory."""
    __slots__ = ("size_bytes",)
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    """The size in bytes. 0: the driver's default."""
    def __init__(self, size_bytes: _Optional[int] = ...) -> None: ...

class Volume(_message.Message):
    """A volume that is mounted into a container."""
    __slots__ = ("path", "tmpfs")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TMPFS_FIELD_NUMBER: _ClassVar[int]
    path: str
    """The absolute path of the mount point."""
    tmpfs: TmpfsVolume
    """A file system in memory. The only kind of volume so far."""
    def __init__(self, path: _Optional[str] = ..., tmpfs: _Optional[_Union[TmpfsVolume, _Mapping]] = ...) -> None: ...

class Resources(_message.Message):
    """Limits of what a pod or a container may use."""
    __slots__ = ("cpu_millis", "memory_bytes")
    CPU_MILLIS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    cpu_millis: int
    """CPU time in thousandths of a CPU. 0: the driver's default."""
    memory_bytes: int
    """Memory in bytes. 0: the driver's default."""
    def __init__(self, cpu_millis: _Optional[int] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class Ready(_message.Message):
    """When a service counts as ready. The steps start once all services are ready."""
    __slots__ = ("command", "port")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    command: str
    """A command that must exit with 0 in the container. Empty: not checked."""
    port: int
    """A TCP port of localhost that must accept connections. 0: not checked."""
    def __init__(self, command: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class Container(_message.Message):
    """A container of a pod."""
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
    """The image. `host` is the executor's own file system, seen through the sandbox."""
    environment: _containers.MessageMap[str, EnvironmentValue]
    """The environment of the container's first process."""
    user: str
    """The user who runs the steps. Empty: the image's user."""
    privileged: bool
    """Whether the container is privileged."""
    entrypoint: str
    """The first process of the container. Empty: for a service the image's; for the first container a process that waits."""
    volumes: _containers.RepeatedCompositeFieldContainer[Volume]
    """The volumes that are mounted into the container."""
    resources: Resources
    """The limits of the container."""
    ready: Ready
    """When the service counts as ready. Not set: as soon as it is started."""
    def __init__(self, image: _Optional[str] = ..., environment: _Optional[_Mapping[str, EnvironmentValue]] = ..., user: _Optional[str] = ..., privileged: _Optional[bool] = ..., entrypoint: _Optional[str] = ..., volumes: _Optional[_Iterable[_Union[Volume, _Mapping]]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ...) -> None: ...

class Runtime(_message.Message):
    """Where a task runs."""
    __slots__ = ("type", "arch", "containers", "network")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    type: str
    """The kind of the runtime. Empty: `pod`, the only kind so far."""
    arch: str
    """The architecture: `amd64`, `arm64`, `arm` or `386`. Empty: any."""
    containers: _containers.RepeatedCompositeFieldContainer[Container]
    """The containers of the pod. The first one runs the steps. The others are services that are reachable on localhost."""
    network: str
    """What the task can reach. `isolated`: other hosts, but neither the executor's machine nor other tasks. `none`:
    nothing. `host`: the network of the executor's machine, if its operator allows it. Empty: `isolated`.
    """
    def __init__(self, type: _Optional[str] = ..., arch: _Optional[str] = ..., containers: _Optional[_Iterable[_Union[Container, _Mapping]]] = ..., network: _Optional[str] = ...) -> None: ...

class RunStep(_message.Message):
    """A step that runs a command."""
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
    """The text that the shell runs."""
    environment: _containers.MessageMap[str, EnvironmentValue]
    """Environment variables in addition to those of the task."""
    working_dir: str
    """The working directory. Empty: the task's."""
    shell: str
    """The shell that runs the command. Empty: the task's."""
    tty: bool
    """Whether the command has a terminal."""
    def __init__(self, command: _Optional[str] = ..., environment: _Optional[_Mapping[str, EnvironmentValue]] = ..., working_dir: _Optional[str] = ..., shell: _Optional[str] = ..., tty: _Optional[bool] = ...) -> None: ...

class CloneStep(_message.Message):
    """A step that clones the run's repository at its commit into the working directory."""
    __slots__ = ("depth", "recurse_submodules")
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    RECURSE_SUBMODULES_FIELD_NUMBER: _ClassVar[int]
    depth: int
    """The number of commits that are fetched. 0: all."""
    recurse_submodules: bool
    """Whether submodules are cloned too."""
    def __init__(self, depth: _Optional[int] = ..., recurse_submodules: _Optional[bool] = ...) -> None: ...

class ArchiveContents(_message.Message):
    """Files that are put into an archive."""
    __slots__ = ("source_dir", "dest_dir", "paths")
    SOURCE_DIR_FIELD_NUMBER: _ClassVar[int]
    DEST_DIR_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    source_dir: str
    """The folder that the files are in."""
    dest_dir: str
    """The folder inside the archive."""
    paths: _containers.RepeatedScalarFieldContainer[str]
    """Patterns of the files' paths. Empty: all files."""
    def __init__(self, source_dir: _Optional[str] = ..., dest_dir: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class SaveToWorkspaceStep(_message.Message):
    """A step that saves files for the tasks that descend from this one."""
    __slots__ = ("contents",)
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    contents: _containers.RepeatedCompositeFieldContainer[ArchiveContents]
    """The files."""
    def __init__(self, contents: _Optional[_Iterable[_Union[ArchiveContents, _Mapping]]] = ...) -> None: ...

class RestoreWorkspaceStep(_message.Message):
    """A step that unpacks the files that the ancestors of the task have saved."""
    __slots__ = ("dest_dir",)
    DEST_DIR_FIELD_NUMBER: _ClassVar[int]
    dest_dir: str
    """The folder to unpack into. Empty: the working directory."""
    def __init__(self, dest_dir: _Optional[str] = ...) -> None: ...

class SaveCacheStep(_message.Message):
    """A step that saves files for later runs. What is saved under a key never changes."""
    __slots__ = ("key", "contents")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    """The key. May contain templates."""
    contents: _containers.RepeatedCompositeFieldContainer[ArchiveContents]
    """The files."""
    def __init__(self, key: _Optional[str] = ..., contents: _Optional[_Iterable[_Union[ArchiveContents, _Mapping]]] = ...) -> None: ...

class RestoreCacheStep(_message.Message):
    """A step that unpacks the newest cache whose key begins with one of the given keys."""
    __slots__ = ("keys", "dest_dir")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    DEST_DIR_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    """The beginnings of keys. The first one that has a cache is used."""
    dest_dir: str
    """The folder to unpack into. Empty: the working directory."""
    def __init__(self, keys: _Optional[_Iterable[str]] = ..., dest_dir: _Optional[str] = ...) -> None: ...

class SaveArtifactsStep(_message.Message):
    """A step that saves files for people to download."""
    __slots__ = ("artifact_name", "paths")
    ARTIFACT_NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    artifact_name: str
    """The name of the artifact."""
    paths: _containers.RepeatedScalarFieldContainer[str]
    """Patterns of the files' paths."""
    def __init__(self, artifact_name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class SaveReportsStep(_message.Message):
    """A step that saves test reports in the XML format of JUnit."""
    __slots__ = ("paths",)
    PATHS_FIELD_NUMBER: _ClassVar[int]
    paths: _containers.RepeatedScalarFieldContainer[str]
    """Patterns of the files' paths."""
    def __init__(self, paths: _Optional[_Iterable[str]] = ...) -> None: ...

class StepDefinition(_message.Message):
    """A step of a task. One of the fields `run` to `save_reports` must be set."""
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
    """The step's name."""
    always: bool
    """Whether the step runs after a failed step too."""
    skip: bool
    """Whether the step is shown but not run, because its `when` did not match."""
    run: RunStep
    """Run a command."""
    clone: CloneStep
    """Clone the repository."""
    save_to_workspace: SaveToWorkspaceStep
    """Save files for the tasks that descend from this one."""
    restore_workspace: RestoreWorkspaceStep
    """Unpack the files that the ancestors of the task have saved."""
    save_cache: SaveCacheStep
    """Save a cache."""
    restore_cache: RestoreCacheStep
    """Unpack a cache."""
    save_artifacts: SaveArtifactsStep
    """Save files for people."""
    save_reports: SaveReportsStep
    """Save test reports."""
    def __init__(self, name: _Optional[str] = ..., always: _Optional[bool] = ..., skip: _Optional[bool] = ..., run: _Optional[_Union[RunStep, _Mapping]] = ..., clone: _Optional[_Union[CloneStep, _Mapping]] = ..., save_to_workspace: _Optional[_Union[SaveToWorkspaceStep, _Mapping]] = ..., restore_workspace: _Optional[_Union[RestoreWorkspaceStep, _Mapping]] = ..., save_cache: _Optional[_Union[SaveCacheStep, _Mapping]] = ..., restore_cache: _Optional[_Union[RestoreCacheStep, _Mapping]] = ..., save_artifacts: _Optional[_Union[SaveArtifactsStep, _Mapping]] = ..., save_reports: _Optional[_Union[SaveReportsStep, _Mapping]] = ...) -> None: ...

class IdToken(_message.Message):
    """An id token that a task gets (OpenID Connect)."""
    __slots__ = ("audiences",)
    AUDIENCES_FIELD_NUMBER: _ClassVar[int]
    audiences: _containers.RepeatedScalarFieldContainer[str]
    """The audiences, the claim `aud`: who is to accept the token."""
    def __init__(self, audiences: _Optional[_Iterable[str]] = ...) -> None: ...

class TaskDefinition(_message.Message):
    """The definition of a task."""
    __slots__ = ("name", "runtime", "environment", "working_dir", "shell", "user", "steps", "depends", "ignore_failure", "approval", "lock", "skip", "docker_registries_auth", "task_timeout_interval", "retry", "labels", "priority", "resources", "wait_timeout", "hold_on_failure", "id_tokens")
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
    class IdTokensEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: IdToken
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[IdToken, _Mapping]] = ...) -> None: ...
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
    WAIT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    HOLD_ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    ID_TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The task's name, unique in the run. No control characters."""
    runtime: Runtime
    """Where the task runs."""
    environment: _containers.MessageMap[str, EnvironmentValue]
    """The environment of the steps. The run's static environment, its environment and its number are added to it."""
    working_dir: str
    """The working directory of the steps. Empty: `~/project`."""
    shell: str
    """The shell that runs the steps' commands. Empty: `/bin/sh -e`."""
    user: str
    """The user who runs the steps. Empty: the container's."""
    steps: _containers.RepeatedCompositeFieldContainer[StepDefinition]
    """The steps, in order."""
    depends: _containers.RepeatedCompositeFieldContainer[Depend]
    """The parents of the task, and which of their outcomes let it run."""
    ignore_failure: bool
    """Whether the run can succeed although this task fails."""
    approval: Approval
    """The approval that the task needs. Not set: none."""
    lock: str
    """The name of a lock. Of all tasks of a project, one at a time holds it, from its assignment to its end. Empty: none."""
    skip: bool
    """Whether the task is created as skipped, because its `when` did not match."""
    docker_registries_auth: _containers.MessageMap[str, RegistryAuth]
    """Credentials of container registries, by the name of the registry."""
    task_timeout_interval: _duration_pb2.Duration
    """The timeout of an attempt, from the start of its pod. Not set: 1 hour."""
    retry: Retry
    """Whether and when a failed attempt is followed by another one."""
    labels: _containers.ScalarMap[str, str]
    """The labels that an executor must have."""
    priority: int
    """The priority. 0: the run's priority."""
    resources: Resources
    """The limits of the whole pod."""
    wait_timeout: _duration_pb2.Duration
    """How long the task may wait for an executor, from when nothing else is missing. Then it fails. Not set: without end."""
    hold_on_failure: _duration_pb2.Duration
    """How long the pod is held when a step fails, for a person to look at it and to continue. Not set: not at all. At
    most 24 hours. Ignored in runs of forks.
    """
    id_tokens: _containers.MessageMap[str, IdToken]
    """The id tokens that the task gets, by the name of the variable that each is in. A second variable, with `_FILE` at
    the end of its name, has the path of a file with a token that is replaced before it expires.
    """
    def __init__(self, name: _Optional[str] = ..., runtime: _Optional[_Union[Runtime, _Mapping]] = ..., environment: _Optional[_Mapping[str, EnvironmentValue]] = ..., working_dir: _Optional[str] = ..., shell: _Optional[str] = ..., user: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[StepDefinition, _Mapping]]] = ..., depends: _Optional[_Iterable[_Union[Depend, _Mapping]]] = ..., ignore_failure: _Optional[bool] = ..., approval: _Optional[_Union[Approval, _Mapping]] = ..., lock: _Optional[str] = ..., skip: _Optional[bool] = ..., docker_registries_auth: _Optional[_Mapping[str, RegistryAuth]] = ..., task_timeout_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[int] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., wait_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., hold_on_failure: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., id_tokens: _Optional[_Mapping[str, IdToken]] = ...) -> None: ...

class Input(_message.Message):
    """An input of a run: a value that whoever starts the run may choose. Everybody who can see the run can see it, so a
    secret must not be an input.
    """
    __slots__ = ("name", "type", "default_value", "options", "pattern", "description", "required", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The name: a lower-case letter, then lower-case letters, digits and underscores. Tasks have the value in the
    environment variable `SLUICE_INPUT_` with the name in upper case.
    """
    type: InputType
    """The type of the value."""
    default_value: str
    """The value if none is given. Not set: the empty string, 0, false or the first option."""
    options: _containers.RepeatedScalarFieldContainer[str]
    """The values that an input of type choice may have."""
    pattern: str
    """A regular expression (RE2) that matches the whole value of an input of type string. Empty: any."""
    description: str
    """What it is for."""
    required: bool
    """Whether a value must be given if there is no default."""
    value: str
    """The value, as text. In a request, not set: the default."""
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[InputType, str]] = ..., default_value: _Optional[str] = ..., options: _Optional[_Iterable[str]] = ..., pattern: _Optional[str] = ..., description: _Optional[str] = ..., required: _Optional[bool] = ..., value: _Optional[str] = ...) -> None: ...

class Source(_message.Message):
    """Where a run came from."""
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
    """The URL of the repository, or its path on the executor's machine."""
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
    message: str
    """The commit message."""
    link: str
    """The URL of a page about the commit, tag or pull request."""
    def __init__(self, repository: _Optional[str] = ..., ref_type: _Optional[str] = ..., ref: _Optional[str] = ..., branch: _Optional[str] = ..., tag: _Optional[str] = ..., pull_request_id: _Optional[str] = ..., commit_sha: _Optional[str] = ..., message: _Optional[str] = ..., link: _Optional[str] = ...) -> None: ...
