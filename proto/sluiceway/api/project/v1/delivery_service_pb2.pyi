import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.options.v1 import options_pb2 as _options_pb2
from sluiceway.api.run.v1 import definition_pb2 as _definition_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeliveryPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """How far a delivery is."""
    __slots__ = ()
    DELIVERY_PHASE_UNSPECIFIED: _ClassVar[DeliveryPhase]
    """Not set."""
    DELIVERY_PHASE_PENDING: _ClassVar[DeliveryPhase]
    """It is stored, and is worked on, or will be."""
    DELIVERY_PHASE_DONE: _ClassVar[DeliveryPhase]
    """It was worked on. Its decisions are final."""
    DELIVERY_PHASE_FAILED: _ClassVar[DeliveryPhase]
    """Work on it was given up. It can be delivered again."""

class DecisionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    """The rule that decided on a delivery, or on one run of the configuration at it."""
    __slots__ = ()
    DECISION_REASON_UNSPECIFIED: _ClassVar[DecisionReason]
    """Not decided yet."""
    DECISION_REASON_RUN_CREATED: _ClassVar[DecisionReason]
    """A run was created."""
    DECISION_REASON_RUN_EXISTS: _ClassVar[DecisionReason]
    """The run existed: the event was delivered before."""
    DECISION_REASON_SETUP_ERROR: _ClassVar[DecisionReason]
    """The configuration is missing or cannot be used; a run with its errors was created."""
    DECISION_REASON_WHEN: _ClassVar[DecisionReason]
    """The `when` of the run does not match the ref."""
    DECISION_REASON_PATHS: _ClassVar[DecisionReason]
    """The `when` of the run matches the ref, and its `paths` none of the changed files."""
    DECISION_REASON_SKIP_WORD: _ClassVar[DecisionReason]
    """The message of the commit asks for no run."""
    DECISION_REASON_REF_DELETED: _ClassVar[DecisionReason]
    """The event deletes a branch or tag."""
    DECISION_REASON_COMMIT_GONE: _ClassVar[DecisionReason]
    """The commit was gone when the delivery was worked on: the ref was deleted again, or overwritten."""
    DECISION_REASON_EVENT_IGNORED: _ClassVar[DecisionReason]
    """The event is none that starts runs, such as a comment."""
    DECISION_REASON_OTHER_REPOSITORY: _ClassVar[DecisionReason]
    """The event is of another repository than that of the project."""
    DECISION_REASON_CONFIGURATION_READ: _ClassVar[DecisionReason]
    """The configuration has runs, and each has a decision of its own."""
    DECISION_REASON_FAILED: _ClassVar[DecisionReason]
    """Work failed; the sentence says how."""
    DECISION_REASON_ASKED_FOR: _ClassVar[DecisionReason]
    """The run was asked for by its name."""
    DECISION_REASON_RUN_UNKNOWN: _ClassVar[DecisionReason]
    """A run was asked for by a name that the configuration does not have."""
    DECISION_REASON_VARIABLE_REFUSED: _ClassVar[DecisionReason]
    """A variable of a run by hand has the name of an environment variable that a task gets from a secret."""
    DECISION_REASON_QUOTA: _ClassVar[DecisionReason]
    """The project has as many queued runs as its quota allows."""
    DECISION_REASON_INPUTS: _ClassVar[DecisionReason]
    """An input of the run has no value and no default, or a value that it cannot have."""
DELIVERY_PHASE_UNSPECIFIED: DeliveryPhase
DELIVERY_PHASE_PENDING: DeliveryPhase
DELIVERY_PHASE_DONE: DeliveryPhase
DELIVERY_PHASE_FAILED: DeliveryPhase
DECISION_REASON_UNSPECIFIED: DecisionReason
DECISION_REASON_RUN_CREATED: DecisionReason
DECISION_REASON_RUN_EXISTS: DecisionReason
DECISION_REASON_SETUP_ERROR: DecisionReason
DECISION_REASON_WHEN: DecisionReason
DECISION_REASON_PATHS: DecisionReason
DECISION_REASON_SKIP_WORD: DecisionReason
DECISION_REASON_REF_DELETED: DecisionReason
DECISION_REASON_COMMIT_GONE: DecisionReason
DECISION_REASON_EVENT_IGNORED: DecisionReason
DECISION_REASON_OTHER_REPOSITORY: DecisionReason
DECISION_REASON_CONFIGURATION_READ: DecisionReason
DECISION_REASON_FAILED: DecisionReason
DECISION_REASON_ASKED_FOR: DecisionReason
DECISION_REASON_RUN_UNKNOWN: DecisionReason
DECISION_REASON_VARIABLE_REFUSED: DecisionReason
DECISION_REASON_QUOTA: DecisionReason
DECISION_REASON_INPUTS: DecisionReason

class RunDecision(_message.Message):
    """The decision on one run of the configuration."""
    __slots__ = ("run_name", "reason", "sentence", "run_id")
    RUN_NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_name: str
    """The name of the run in the configuration; of a run with setup errors, the name that it got."""
    reason: DecisionReason
    """The rule that decided."""
    sentence: str
    """The decision in a sentence."""
    run_id: str
    """The id of the run. Empty: there is none."""
    def __init__(self, run_name: _Optional[str] = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., sentence: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class Delivery(_message.Message):
    """A delivery of a webhook."""
    __slots__ = ("id", "project_id", "provider_id", "receive_time", "event", "ref", "commit_sha", "pull_request_id", "from_fork", "message", "phase", "reason", "sentence", "decisions", "done_time", "redeliveries", "variables", "inputs")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    PULL_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FORK_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    DONE_TIME_FIELD_NUMBER: _ClassVar[int]
    REDELIVERIES_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The delivery's id, a UUIDv7."""
    project_id: str
    """The id of the project."""
    provider_id: str
    """The id that the provider gave it. Empty: none."""
    receive_time: _timestamp_pb2.Timestamp
    """When it was received."""
    event: str
    """The event, such as `push`, `tag`, `pull_request synchronized`, `ping`, or `manual`. `push caught_up` and
    `tag caught_up` were not sent by the provider: the commit was found in the list of its refs.
    """
    ref: str
    """The full name of the ref, such as `refs/heads/main`. Of a pull request: the ref of its head in the project's
    repository.
    """
    commit_sha: str
    """The commit."""
    pull_request_id: str
    """The number of the pull request. Empty: none."""
    from_fork: bool
    """Whether the pull request comes from a fork."""
    message: str
    """The message of the commit; a long one is cut."""
    phase: DeliveryPhase
    """How far it is."""
    reason: DecisionReason
    """The rule that decided on it."""
    sentence: str
    """The decision in a sentence, or why it has to be tried again."""
    decisions: _containers.RepeatedCompositeFieldContainer[RunDecision]
    """The decision on each run of the configuration, in the order of the file."""
    done_time: _timestamp_pb2.Timestamp
    """When work on it ended."""
    redeliveries: int
    """How often it was delivered again through this API."""
    variables: _containers.ScalarMap[str, str]
    """Of runs by hand: the variables that were chosen for them."""
    inputs: _containers.ScalarMap[str, str]
    """Of runs by hand and of a schedule: the values that were given to inputs."""
    def __init__(self, id: _Optional[str] = ..., project_id: _Optional[str] = ..., provider_id: _Optional[str] = ..., receive_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event: _Optional[str] = ..., ref: _Optional[str] = ..., commit_sha: _Optional[str] = ..., pull_request_id: _Optional[str] = ..., from_fork: _Optional[bool] = ..., message: _Optional[str] = ..., phase: _Optional[_Union[DeliveryPhase, str]] = ..., reason: _Optional[_Union[DecisionReason, str]] = ..., sentence: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[RunDecision, _Mapping]]] = ..., done_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., redeliveries: _Optional[int] = ..., variables: _Optional[_Mapping[str, str]] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ReceiveDeliveryRequest(_message.Message):
    """The request of `ReceiveDelivery`."""
    __slots__ = ("project_id", "headers", "body")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The id of the project, from the path."""
    headers: _containers.ScalarMap[str, str]
    """The headers of the HTTP request, by name in lower case."""
    body: bytes
    """The body, byte for byte."""
    def __init__(self, project_id: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., body: _Optional[bytes] = ...) -> None: ...

class ReceiveDeliveryResponse(_message.Message):
    """The response of `ReceiveDelivery`."""
    __slots__ = ("delivery_id", "sentence")
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    delivery_id: str
    """The id of the delivery."""
    sentence: str
    """What happens with it."""
    def __init__(self, delivery_id: _Optional[str] = ..., sentence: _Optional[str] = ...) -> None: ...

class GetDeliveryRequest(_message.Message):
    """The request of `GetDelivery`."""
    __slots__ = ("project_id", "delivery_id")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    delivery_id: str
    """The delivery's id."""
    def __init__(self, project_id: _Optional[str] = ..., delivery_id: _Optional[str] = ...) -> None: ...

class GetDeliveryResponse(_message.Message):
    """The response of `GetDelivery`."""
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: Delivery
    """The delivery."""
    def __init__(self, delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...

class ListDeliveriesRequest(_message.Message):
    """The request of `ListDeliveries`."""
    __slots__ = ("project_id", "page_size", "page_token", "ref")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    page_size: int
    """The largest number of deliveries in the response. 0: 100."""
    page_token: str
    """The `next_page_token` of the page before. Empty: the first page."""
    ref: str
    """Only those of this ref: its full name, such as `refs/heads/main`. Empty: all."""
    def __init__(self, project_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., ref: _Optional[str] = ...) -> None: ...

class ListDeliveriesResponse(_message.Message):
    """The response of `ListDeliveries`."""
    __slots__ = ("deliveries", "next_page_token")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    """The deliveries, the newest first."""
    next_page_token: str
    """The token of the next page. Empty: this is the last page."""
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RunProjectRequest(_message.Message):
    """The request of `RunProject`."""
    __slots__ = ("project_id", "ref", "commit_sha", "run_name", "request_id", "pull_request_id", "variables", "inputs")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    RUN_NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PULL_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    ref: str
    """A branch by its name, or a branch or tag by its full name, such as `refs/tags/v1`. Empty: the default branch."""
    commit_sha: str
    """The commit, by all its digits. Empty: that of the ref."""
    run_name: str
    """Create only this run of the configuration, whether its `when` matches or not. Empty: all that apply to the ref."""
    request_id: str
    """An id that the client chooses to make the call safe to repeat."""
    pull_request_id: str
    """The number of a pull request (GitLab: merge request), whose head is run. Not together with `ref` and `commit_sha`. If
    it comes from a fork, the runs have the limits of those of a fork. Empty: none.
    """
    variables: _containers.ScalarMap[str, str]
    """Environment variables for all tasks of the runs: they replace those of the configuration, but not those that it takes
    from secrets, nor those of the system. They are stored with the runs, and everybody who can see a run can see them.
    At most 16 KiB of names and values together.
    """
    inputs: _containers.ScalarMap[str, str]
    """Values for inputs of the runs, by name. They are stored with the runs, and everybody who can see a run can see them."""
    def __init__(self, project_id: _Optional[str] = ..., ref: _Optional[str] = ..., commit_sha: _Optional[str] = ..., run_name: _Optional[str] = ..., request_id: _Optional[str] = ..., pull_request_id: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListConfiguredRunsRequest(_message.Message):
    """The request of `ListConfiguredRuns`."""
    __slots__ = ("project_id", "ref", "commit_sha", "pull_request_id")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    PULL_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    ref: str
    """A branch by its name, or a branch or tag by its full name, such as `refs/tags/v1`. Empty: the default branch."""
    commit_sha: str
    """The commit, by all its digits. Empty: that of the ref."""
    pull_request_id: str
    """The number of a pull request, whose head is read. Not together with `ref` and `commit_sha`. Empty: none."""
    def __init__(self, project_id: _Optional[str] = ..., ref: _Optional[str] = ..., commit_sha: _Optional[str] = ..., pull_request_id: _Optional[str] = ...) -> None: ...

class ConfiguredRun(_message.Message):
    """A run of a configuration."""
    __slots__ = ("name", "inputs", "applies")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    APPLIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    """The name of the run."""
    inputs: _containers.RepeatedCompositeFieldContainer[_definition_pb2.Input]
    """The inputs that it declares, without values."""
    applies: bool
    """Whether its `when` matches the ref."""
    def __init__(self, name: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_definition_pb2.Input, _Mapping]]] = ..., applies: _Optional[bool] = ...) -> None: ...

class ListConfiguredRunsResponse(_message.Message):
    """The response of `ListConfiguredRuns`."""
    __slots__ = ("runs", "commit_sha", "source_path", "errors")
    RUNS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    SOURCE_PATH_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[ConfiguredRun]
    """The runs, in the order of the file."""
    commit_sha: str
    """The commit whose configuration was read."""
    source_path: str
    """The file that has the configuration. Empty: there is none."""
    errors: _containers.RepeatedScalarFieldContainer[str]
    """Why the configuration cannot be used. It has no runs then."""
    def __init__(self, runs: _Optional[_Iterable[_Union[ConfiguredRun, _Mapping]]] = ..., commit_sha: _Optional[str] = ..., source_path: _Optional[str] = ..., errors: _Optional[_Iterable[str]] = ...) -> None: ...

class RunProjectResponse(_message.Message):
    """The response of `RunProject`."""
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: Delivery
    """What is worked on, and shows in the end which runs were created."""
    def __init__(self, delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...

class RedeliverDeliveryRequest(_message.Message):
    """The request of `RedeliverDelivery`."""
    __slots__ = ("project_id", "delivery_id")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The project's id or path."""
    delivery_id: str
    """The delivery's id."""
    def __init__(self, project_id: _Optional[str] = ..., delivery_id: _Optional[str] = ...) -> None: ...

class RedeliverDeliveryResponse(_message.Message):
    """The response of `RedeliverDelivery`."""
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: Delivery
    """The delivery."""
    def __init__(self, delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...
