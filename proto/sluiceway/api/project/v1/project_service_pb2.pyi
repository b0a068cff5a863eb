import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.project.v1 import visibility_pb2 as _visibility_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Project(_message.Message):
    """A project."""
    __slots__ = ("id", "name", "etag", "create_time", "parent_id", "visibility", "path", "remote_source_id", "repository_path", "concurrency", "cancel_superseded", "pass_variables_to_forks", "deploy_key", "git", "issue_id_tokens_to_forks", "retention", "effective_retention")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_PATH_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    CANCEL_SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    PASS_VARIABLES_TO_FORKS_FIELD_NUMBER: _ClassVar[int]
    DEPLOY_KEY_FIELD_NUMBER: _ClassVar[int]
    GIT_FIELD_NUMBER: _ClassVar[int]
    ISSUE_ID_TOKENS_TO_FORKS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_RETENTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The project's id, a UUIDv7."""
    name: str
    """The project's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID."""
    etag: str
    """The version of the project. It changes with every change. In an update, the stored version must be this one."""
    create_time: _timestamp_pb2.Timestamp
    """When the project was created."""
    parent_id: str
    """The id or path of the organization, user or project group that it belongs to."""
    visibility: _visibility_pb2.Visibility
    """Who may see it. Not set when it is created: as the parent; below a user: members only. In a response: who may see
    it in effect; it is private if any of its ancestors is.
    """
    path: str
    """The path in the tree, such as `org/acme/backend/api`."""
    remote_source_id: str
    """The id of the remote source that has the project's repository. Empty: none."""
    repository_path: str
    """The path of the repository in the remote source."""
    concurrency: int
    """The number of runs of the project that may run at the same time, in all groups together. 0: no limit."""
    cancel_superseded: bool
    """Whether a new run cancels the older queued runs of its group."""
    pass_variables_to_forks: bool
    """Whether the runs of a fork's pull request get the project's variables."""
    deploy_key: str
    """The public half of the key with which runs clone the repository over SSH, as one line of authorized_keys."""
    git: GitRepository
    """A repository at a host that is no git provider. Its branches and tags are listed from time to time. Without
    `remote_source_id`. An update replaces it as a whole, in a project that was created with one.
    """
    issue_id_tokens_to_forks: bool
    """Whether the tasks of a fork's pull request get id tokens."""
    retention: Retention
    """How long what belongs to its runs is kept, where that is not as in the installation. Members may shorten, only
    operators may lengthen it. An update replaces it as a whole.
    """
    effective_retention: Retention
    """How long it is kept in effect."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent_id: _Optional[str] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ..., path: _Optional[str] = ..., remote_source_id: _Optional[str] = ..., repository_path: _Optional[str] = ..., concurrency: _Optional[int] = ..., cancel_superseded: _Optional[bool] = ..., pass_variables_to_forks: _Optional[bool] = ..., deploy_key: _Optional[str] = ..., git: _Optional[_Union[GitRepository, _Mapping]] = ..., issue_id_tokens_to_forks: _Optional[bool] = ..., retention: _Optional[_Union[Retention, _Mapping]] = ..., effective_retention: _Optional[_Union[Retention, _Mapping]] = ...) -> None: ...

class Retention(_message.Message):
    """How long what belongs to the runs of a project is kept. What is due is deleted at the next sweep, within an hour. A
    field that is not set is as in the installation; 0 s: for ever.
    """
    __slots__ = ("logs", "artifacts", "caches", "runs")
    LOGS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    CACHES_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    logs: _duration_pb2.Duration
    """Logs, after the end of their run."""
    artifacts: _duration_pb2.Duration
    """Artifacts and test reports, after the end of their run. Workspaces go after 7 days, or earlier with these."""
    caches: _duration_pb2.Duration
    """Caches, after they were last used."""
    runs: _duration_pb2.Duration
    """Runs with all that belongs to them, after their end."""
    def __init__(self, logs: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., artifacts: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., caches: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., runs: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GitRepository(_message.Message):
    """A repository that is read with git alone."""
    __slots__ = ("url", "username", "password", "ssh_host_key", "poll_interval")
    URL_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SSH_HOST_KEY_FIELD_NUMBER: _ClassVar[int]
    POLL_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    url: str
    """The URL: `https://`, `http://` (without a password), `ssh://`, or `user@host:path`."""
    username: str
    """The user name for a URL of https. Empty: it is read without a password."""
    password: str
    """The password or token of that user. Only in requests. Empty in an update: the stored one is kept, if the host and
    the user name are the same.
    """
    ssh_host_key: str
    """The SSH host key of the host: a line of known_hosts, or the type and the base64 of the key. Required for a URL of
    SSH, for which the project has a `deploy_key` that its host has to accept.
    """
    poll_interval: _duration_pb2.Duration
    """The time between two lists of its branches and tags, 10 s to a day. Not set: one minute."""
    def __init__(self, url: _Optional[str] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., ssh_host_key: _Optional[str] = ..., poll_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreateProjectRequest(_message.Message):
    """The request of `CreateProject`."""
    __slots__ = ("project", "request_id")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    project: Project
    """The project. Fields that only the server sets are ignored."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateProjectResponse(_message.Message):
    """The response of `CreateProject`."""
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: Project
    """The created project."""
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ...) -> None: ...

class GetProjectRequest(_message.Message):
    """The request of `GetProject`."""
    __slots__ = ("project_id",)
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    def __init__(self, project_id: _Optional[str] = ...) -> None: ...

class GetProjectResponse(_message.Message):
    """The response of `GetProject`."""
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: Project
    """The project."""
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ...) -> None: ...

class ListProjectsRequest(_message.Message):
    """The request of `ListProjects`."""
    __slots__ = ("page_size", "page_token", "parent_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of projects in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    parent_id: str
    """Only the children of this parent: its id or path. Empty: all that the caller may see."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class ListProjectsResponse(_message.Message):
    """The response of `ListProjects`."""
    __slots__ = ("projects", "next_page_token")
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    projects: _containers.RepeatedCompositeFieldContainer[Project]
    """The projects, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, projects: _Optional[_Iterable[_Union[Project, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateProjectRequest(_message.Message):
    """The request of `UpdateProject`."""
    __slots__ = ("project", "update_mask")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    project: Project
    """The new values. The `id` says which project is changed."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: all fields that are set."""
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateProjectResponse(_message.Message):
    """The response of `UpdateProject`."""
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: Project
    """The changed project."""
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ...) -> None: ...

class DeleteProjectRequest(_message.Message):
    """The request of `DeleteProject`."""
    __slots__ = ("project_id", "etag")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    etag: str
    """The version that must be the stored one. Empty: not checked."""
    def __init__(self, project_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteProjectResponse(_message.Message):
    """The response of `DeleteProject`."""
    __slots__ = ()
    def __init__(self) -> None: ...

class ProjectGroup(_message.Message):
    """A project group."""
    __slots__ = ("id", "name", "etag", "create_time", "parent_id", "visibility", "path")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The project group's id, a UUIDv7."""
    name: str
    """The project group's name: 1 to 40 letters, digits and single inner hyphens. Starts with a letter. Not a UUID."""
    etag: str
    """The version of the project group. It changes with every change. In an update, the stored version must be this one."""
    create_time: _timestamp_pb2.Timestamp
    """When the project group was created."""
    parent_id: str
    """The id or path of the organization, user or project group that it belongs to."""
    visibility: _visibility_pb2.Visibility
    """Who may see it. Not set when it is created: as the parent; below a user: members only. In a response: who may see
    it in effect; it is private if any of its ancestors is.
    """
    path: str
    """The path in the tree, such as `org/acme/backend/api`."""
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent_id: _Optional[str] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ..., path: _Optional[str] = ...) -> None: ...

class CreateProjectGroupRequest(_message.Message):
    """The request of `CreateProjectGroup`."""
    __slots__ = ("project_group", "request_id")
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    """The project group. Fields that only the server sets are ignored."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateProjectGroupResponse(_message.Message):
    """The response of `CreateProjectGroup`."""
    __slots__ = ("project_group",)
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    """The created project group."""
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ...) -> None: ...

class GetProjectGroupRequest(_message.Message):
    """The request of `GetProjectGroup`."""
    __slots__ = ("project_group_id",)
    PROJECT_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    project_group_id: str
    """The project group's id or path."""
    def __init__(self, project_group_id: _Optional[str] = ...) -> None: ...

class GetProjectGroupResponse(_message.Message):
    """The response of `GetProjectGroup`."""
    __slots__ = ("project_group",)
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    """The project group."""
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ...) -> None: ...

class ListProjectGroupsRequest(_message.Message):
    """The request of `ListProjectGroups`."""
    __slots__ = ("page_size", "page_token", "parent_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    """The largest number of project groups in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    parent_id: str
    """Only the children of this parent: its id or path. Empty: all that the caller may see."""
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class ListProjectGroupsResponse(_message.Message):
    """The response of `ListProjectGroups`."""
    __slots__ = ("project_groups", "next_page_token")
    PROJECT_GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project_groups: _containers.RepeatedCompositeFieldContainer[ProjectGroup]
    """The project groups, by name."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, project_groups: _Optional[_Iterable[_Union[ProjectGroup, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateProjectGroupRequest(_message.Message):
    """The request of `UpdateProjectGroup`."""
    __slots__ = ("project_group", "update_mask")
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    """The new values. The `id` says which project group is changed."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: all fields that are set."""
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateProjectGroupResponse(_message.Message):
    """The response of `UpdateProjectGroup`."""
    __slots__ = ("project_group",)
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    """The changed project group."""
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ...) -> None: ...

class DeleteProjectGroupRequest(_message.Message):
    """The request of `DeleteProjectGroup`."""
    __slots__ = ("project_group_id", "etag")
    PROJECT_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    project_group_id: str
    """The project group's id or path."""
    etag: str
    """The version that must be the stored one. Empty: not checked."""
    def __init__(self, project_group_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteProjectGroupResponse(_message.Message):
    """The response of `DeleteProjectGroup`."""
    __slots__ = ()
    def __init__(self) -> None: ...
