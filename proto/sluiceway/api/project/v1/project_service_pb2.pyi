import datetime

from google.api import annotations_pb2 as _annotations_pb2
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
    __slots__ = ("id", "name", "etag", "create_time", "parent_id", "visibility", "path", "remote_source_id", "repository_path", "concurrency", "cancel_superseded", "pass_variables_to_forks")
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
    id: str
    name: str
    etag: str
    create_time: _timestamp_pb2.Timestamp
    parent_id: str
    visibility: _visibility_pb2.Visibility
    path: str
    remote_source_id: str
    repository_path: str
    concurrency: int
    cancel_superseded: bool
    pass_variables_to_forks: bool
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent_id: _Optional[str] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ..., path: _Optional[str] = ..., remote_source_id: _Optional[str] = ..., repository_path: _Optional[str] = ..., concurrency: _Optional[int] = ..., cancel_superseded: _Optional[bool] = ..., pass_variables_to_forks: _Optional[bool] = ...) -> None: ...

class CreateProjectRequest(_message.Message):
    __slots__ = ("project", "request_id")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    project: Project
    request_id: str
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateProjectResponse(_message.Message):
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: Project
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ...) -> None: ...

class GetProjectRequest(_message.Message):
    __slots__ = ("project_id",)
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    def __init__(self, project_id: _Optional[str] = ...) -> None: ...

class GetProjectResponse(_message.Message):
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: Project
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ...) -> None: ...

class ListProjectsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "parent_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    parent_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class ListProjectsResponse(_message.Message):
    __slots__ = ("projects", "next_page_token")
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    projects: _containers.RepeatedCompositeFieldContainer[Project]
    next_page_token: str
    def __init__(self, projects: _Optional[_Iterable[_Union[Project, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateProjectRequest(_message.Message):
    __slots__ = ("project", "update_mask")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    project: Project
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateProjectResponse(_message.Message):
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: Project
    def __init__(self, project: _Optional[_Union[Project, _Mapping]] = ...) -> None: ...

class DeleteProjectRequest(_message.Message):
    __slots__ = ("project_id", "etag")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    etag: str
    def __init__(self, project_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteProjectResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProjectGroup(_message.Message):
    __slots__ = ("id", "name", "etag", "create_time", "parent_id", "visibility", "path")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    etag: str
    create_time: _timestamp_pb2.Timestamp
    parent_id: str
    visibility: _visibility_pb2.Visibility
    path: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parent_id: _Optional[str] = ..., visibility: _Optional[_Union[_visibility_pb2.Visibility, str]] = ..., path: _Optional[str] = ...) -> None: ...

class CreateProjectGroupRequest(_message.Message):
    __slots__ = ("project_group", "request_id")
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    request_id: str
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateProjectGroupResponse(_message.Message):
    __slots__ = ("project_group",)
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ...) -> None: ...

class GetProjectGroupRequest(_message.Message):
    __slots__ = ("project_group_id",)
    PROJECT_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    project_group_id: str
    def __init__(self, project_group_id: _Optional[str] = ...) -> None: ...

class GetProjectGroupResponse(_message.Message):
    __slots__ = ("project_group",)
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ...) -> None: ...

class ListProjectGroupsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "parent_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    parent_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., parent_id: _Optional[str] = ...) -> None: ...

class ListProjectGroupsResponse(_message.Message):
    __slots__ = ("project_groups", "next_page_token")
    PROJECT_GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    project_groups: _containers.RepeatedCompositeFieldContainer[ProjectGroup]
    next_page_token: str
    def __init__(self, project_groups: _Optional[_Iterable[_Union[ProjectGroup, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateProjectGroupRequest(_message.Message):
    __slots__ = ("project_group", "update_mask")
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateProjectGroupResponse(_message.Message):
    __slots__ = ("project_group",)
    PROJECT_GROUP_FIELD_NUMBER: _ClassVar[int]
    project_group: ProjectGroup
    def __init__(self, project_group: _Optional[_Union[ProjectGroup, _Mapping]] = ...) -> None: ...

class DeleteProjectGroupRequest(_message.Message):
    __slots__ = ("project_group_id", "etag")
    PROJECT_GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    project_group_id: str
    etag: str
    def __init__(self, project_group_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteProjectGroupResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
