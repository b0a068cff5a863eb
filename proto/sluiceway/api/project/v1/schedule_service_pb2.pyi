import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Schedule(_message.Message):
    """A schedule."""
    __slots__ = ("id", "project_id", "cron", "time_zone", "ref", "run_name", "paused", "created_by", "create_time", "next_time", "last_time", "last_delivery_id", "inputs")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    RUN_NAME_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The schedule's id, a UUIDv7."""
    project_id: str
    """The id of the project."""
    cron: str
    """The times, as five fields of cron: minute, hour, day of the month, month, day of the week. Names (`mon`, `jan`),
    lists, ranges and steps are taken. If both days are given, either is enough.
    """
    time_zone: str
    """The time zone of these times, such as `Europe/Berlin`. A time that does not exist on a day when clocks change comes
    right after the change; one that exists twice comes once. Empty: UTC.
    """
    ref: str
    """A branch by its name, or a branch or tag by its full name, such as `refs/tags/v1`. Empty: the default branch."""
    run_name: str
    """Create only this run of the configuration, whether its `when` matches or not. Empty: all that apply to the ref."""
    paused: bool
    """Whether it creates no runs at present."""
    created_by: str
    """The id of the user who created it."""
    create_time: _timestamp_pb2.Timestamp
    """When it was created."""
    next_time: _timestamp_pb2.Timestamp
    """When it is due next. Unset: it is paused."""
    last_time: _timestamp_pb2.Timestamp
    """When it was due last. Unset: never."""
    last_delivery_id: str
    """The id of the delivery that was made then."""
    inputs: _containers.ScalarMap[str, str]
    """Values for inputs of the runs, by name. They are checked each time it is due: the decisions of the delivery say what
    is wrong with them.
    """
    def __init__(self, id: _Optional[str] = ..., project_id: _Optional[str] = ..., cron: _Optional[str] = ..., time_zone: _Optional[str] = ..., ref: _Optional[str] = ..., run_name: _Optional[str] = ..., paused: _Optional[bool] = ..., created_by: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_delivery_id: _Optional[str] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CreateScheduleRequest(_message.Message):
    """The request of `CreateSchedule`."""
    __slots__ = ("project_id", "schedule")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    schedule: Schedule
    """The schedule."""
    def __init__(self, project_id: _Optional[str] = ..., schedule: _Optional[_Union[Schedule, _Mapping]] = ...) -> None: ...

class CreateScheduleResponse(_message.Message):
    """The response of `CreateSchedule`."""
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: Schedule
    """The schedule."""
    def __init__(self, schedule: _Optional[_Union[Schedule, _Mapping]] = ...) -> None: ...

class GetScheduleRequest(_message.Message):
    """The request of `GetSchedule`."""
    __slots__ = ("project_id", "schedule_id")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    schedule_id: str
    """The schedule's id."""
    def __init__(self, project_id: _Optional[str] = ..., schedule_id: _Optional[str] = ...) -> None: ...

class GetScheduleResponse(_message.Message):
    """The response of `GetSchedule`."""
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: Schedule
    """The schedule."""
    def __init__(self, schedule: _Optional[_Union[Schedule, _Mapping]] = ...) -> None: ...

class ListSchedulesRequest(_message.Message):
    """The request of `ListSchedules`."""
    __slots__ = ("project_id",)
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    def __init__(self, project_id: _Optional[str] = ...) -> None: ...

class ListSchedulesResponse(_message.Message):
    """The response of `ListSchedules`."""
    __slots__ = ("schedules",)
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    schedules: _containers.RepeatedCompositeFieldContainer[Schedule]
    """The schedules, the oldest first."""
    def __init__(self, schedules: _Optional[_Iterable[_Union[Schedule, _Mapping]]] = ...) -> None: ...

class UpdateScheduleRequest(_message.Message):
    """The request of `UpdateSchedule`."""
    __slots__ = ("project_id", "schedule", "update_mask")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    schedule: Schedule
    """The schedule, with its id and the new values."""
    update_mask: _field_mask_pb2.FieldMask
    """The fields to change. Empty: all that are set."""
    def __init__(self, project_id: _Optional[str] = ..., schedule: _Optional[_Union[Schedule, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateScheduleResponse(_message.Message):
    """The response of `UpdateSchedule`."""
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: Schedule
    """The schedule."""
    def __init__(self, schedule: _Optional[_Union[Schedule, _Mapping]] = ...) -> None: ...

class DeleteScheduleRequest(_message.Message):
    """The request of `DeleteSchedule`."""
    __slots__ = ("project_id", "schedule_id")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    schedule_id: str
    """The schedule's id."""
    def __init__(self, project_id: _Optional[str] = ..., schedule_id: _Optional[str] = ...) -> None: ...

class DeleteScheduleResponse(_message.Message):
    """The response of `DeleteSchedule`."""
    __slots__ = ()
    def __init__(self) -> None: ...
