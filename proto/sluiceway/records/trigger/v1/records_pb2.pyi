import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sluiceway.api.project.v1 import delivery_service_pb2 as _delivery_service_pb2
from sluiceway.api.project.v1 import project_service_pb2 as _project_service_pb2
from sluiceway.api.project.v1 import remote_source_service_pb2 as _remote_source_service_pb2
from sluiceway.api.project.v1 import schedule_service_pb2 as _schedule_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RemoteSourceRecord(_message.Message):
    """A remote source. Its id is that of the remote source."""
    __slots__ = ("source", "encrypted_oauth2_client_secret", "request")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_OAUTH2_CLIENT_SECRET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    source: _remote_source_service_pb2.RemoteSource
    """The remote source, without its etag and without the client secret."""
    encrypted_oauth2_client_secret: bytes
    """The client secret (OAuth 2), encrypted. Empty: none."""
    request: str
    """The caller and the request id of its creation. Empty: it had none."""
    def __init__(self, source: _Optional[_Union[_remote_source_service_pb2.RemoteSource, _Mapping]] = ..., encrypted_oauth2_client_secret: _Optional[bytes] = ..., request: _Optional[str] = ...) -> None: ...

class LinkedAccountRecord(_message.Message):
    """The account of a user at a remote source. Its id is `<user>/<remote source>`: a user has one at each."""
    __slots__ = ("id", "user_id", "remote_source_id", "remote_user_id", "remote_name", "encrypted_access_token", "create_time", "authorized", "encrypted_refresh_token", "access_token_expire_time", "refusal", "refresh_id", "refresh_until")
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    REMOTE_USER_ID_FIELD_NUMBER: _ClassVar[int]
    REMOTE_NAME_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    REFRESH_ID_FIELD_NUMBER: _ClassVar[int]
    REFRESH_UNTIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    """The id of the linked account."""
    user_id: str
    """The id of the user."""
    remote_source_id: str
    """The id of the remote source."""
    remote_user_id: str
    """The id of the account at the provider. Names change; this does not."""
    remote_name: str
    """The name of the account at the provider when it was linked, for people."""
    encrypted_access_token: bytes
    """The access token, encrypted."""
    create_time: _timestamp_pb2.Timestamp
    """When it was linked."""
    authorized: bool
    """Whether it was authorized at the provider (OAuth 2). Otherwise its access token was made by hand."""
    encrypted_refresh_token: bytes
    """The refresh token, encrypted. Empty: there is none."""
    access_token_expire_time: _timestamp_pb2.Timestamp
    """When the access token expires. Not set: it is not known, or never."""
    refusal: str
    """What the provider said when it last refused the token. Empty: it did not."""
    refresh_id: str
    """Names the attempt to refresh the access token that is being made. Empty: none."""
    refresh_until: _timestamp_pb2.Timestamp
    """Until when no other attempt is made."""
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[str] = ..., remote_source_id: _Optional[str] = ..., remote_user_id: _Optional[str] = ..., remote_name: _Optional[str] = ..., encrypted_access_token: _Optional[bytes] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., authorized: _Optional[bool] = ..., encrypted_refresh_token: _Optional[bytes] = ..., access_token_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refusal: _Optional[str] = ..., refresh_id: _Optional[str] = ..., refresh_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LinkRecord(_message.Message):
    """The repository of a project, and what was made there. Its id is that of the project. It is not deleted with the
    project: a link without a project is what has to be taken away at the provider.
    """
    __slots__ = ("project_id", "remote_source_id", "user_id", "repository_id", "repository_path", "encrypted_webhook_secret", "webhook_id", "deploy_key_id", "encrypted_deploy_key", "create_time", "is_abandoned", "is_active", "git", "encrypted_git_password")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    REMOTE_SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_PATH_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_WEBHOOK_SECRET_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOY_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_DEPLOY_KEY_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_ABANDONED_FIELD_NUMBER: _ClassVar[int]
    IS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    GIT_FIELD_NUMBER: _ClassVar[int]
    ENCRYPTED_GIT_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The id of the project."""
    remote_source_id: str
    """The id of the remote source."""
    user_id: str
    """The id of the user whose linked account is used."""
    repository_id: str
    """The id of the repository at the provider. Names change; this does not."""
    repository_path: str
    """The path of the repository when it was linked, for people."""
    encrypted_webhook_secret: bytes
    """The secret of the webhook, encrypted."""
    webhook_id: str
    """The id of the webhook at the provider. Empty: it is not known that there is one."""
    deploy_key_id: str
    """The id of the deploy key at the provider. Empty: it is not known that there is one."""
    encrypted_deploy_key: bytes
    """The private key, in the format of OpenSSH, encrypted."""
    create_time: _timestamp_pb2.Timestamp
    """When it was stored. Before the webhook is made, so that none is forgotten."""
    is_abandoned: bool
    """Whether the creation of its project failed."""
    is_active: bool
    """Whether its project was created."""
    git: _project_service_pb2.GitRepository
    """The repository, if it is read with git alone: it has no remote source then. Without its password."""
    encrypted_git_password: bytes
    """The password for it, encrypted. Empty: none."""
    def __init__(self, project_id: _Optional[str] = ..., remote_source_id: _Optional[str] = ..., user_id: _Optional[str] = ..., repository_id: _Optional[str] = ..., repository_path: _Optional[str] = ..., encrypted_webhook_secret: _Optional[bytes] = ..., webhook_id: _Optional[str] = ..., deploy_key_id: _Optional[str] = ..., encrypted_deploy_key: _Optional[bytes] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_abandoned: _Optional[bool] = ..., is_active: _Optional[bool] = ..., git: _Optional[_Union[_project_service_pb2.GitRepository, _Mapping]] = ..., encrypted_git_password: _Optional[bytes] = ...) -> None: ...

class EventRecord(_message.Message):
    """An event of a provider, as `Forge.read_event` read it from a delivery."""
    __slots__ = ("kind", "action", "ref", "before", "after", "message", "repository_id", "clone_url", "link", "pull_request", "base_branch", "base_commit", "from_fork", "sender_id", "commit", "ignored", "requested_by", "run_name", "request", "schedule_id", "variables", "caught_up", "inputs")
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
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_ID_FIELD_NUMBER: _ClassVar[int]
    CLONE_URL_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    PULL_REQUEST_FIELD_NUMBER: _ClassVar[int]
    BASE_BRANCH_FIELD_NUMBER: _ClassVar[int]
    BASE_COMMIT_FIELD_NUMBER: _ClassVar[int]
    FROM_FORK_FIELD_NUMBER: _ClassVar[int]
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    RUN_NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_ID_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    """The kind of event: `push`, `tag`, `pull_request`, `ping`, or empty for any other."""
    action: str
    """What happened to the pull request."""
    ref: str
    """The full name of the ref, such as `refs/heads/main`."""
    before: str
    """The commit before. Empty: none."""
    after: str
    """The object after: of an annotated tag, perhaps the tag. Empty: the ref was deleted."""
    message: str
    """The message of the commit."""
    repository_id: str
    """The id of the repository at the provider."""
    clone_url: str
    """The URL to clone the repository from."""
    link: str
    """A page about the event, for people."""
    pull_request: str
    """The number of the pull request."""
    base_branch: str
    """The branch that the pull request is to be merged into."""
    base_commit: str
    """The commit at the head of that branch."""
    from_fork: bool
    """Whether the pull request comes from another repository."""
    sender_id: str
    """The id of the provider's user who caused it."""
    commit: str
    """The commit. Empty: the event does not say it, and `after` may be a tag."""
    ignored: str
    """Why an event of another kind starts no run, in a sentence."""
    requested_by: str
    """The user who asked for runs by hand. Empty: the provider sent it, or a schedule was due."""
    run_name: str
    """Of runs by hand and of a schedule: only this run of the configuration, whether its `when` matches or not. Empty: all
    that apply.
    """
    request: str
    """Of runs by hand and of a schedule: what tells them from others of the same commit."""
    schedule_id: str
    """The id of the schedule that was due. Empty: none."""
    variables: _containers.ScalarMap[str, str]
    """Of runs by hand: environment variables that were chosen for them."""
    caught_up: bool
    """Whether the provider did not send it: the commit was found in the list of its refs."""
    inputs: _containers.ScalarMap[str, str]
    """Of runs by hand and of a schedule: values of inputs."""
    def __init__(self, kind: _Optional[str] = ..., action: _Optional[str] = ..., ref: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., message: _Optional[str] = ..., repository_id: _Optional[str] = ..., clone_url: _Optional[str] = ..., link: _Optional[str] = ..., pull_request: _Optional[str] = ..., base_branch: _Optional[str] = ..., base_commit: _Optional[str] = ..., from_fork: _Optional[bool] = ..., sender_id: _Optional[str] = ..., commit: _Optional[str] = ..., ignored: _Optional[str] = ..., requested_by: _Optional[str] = ..., run_name: _Optional[str] = ..., request: _Optional[str] = ..., schedule_id: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ..., caught_up: _Optional[bool] = ..., inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...

class KnownRefsRecord(_message.Message):
    """The refs of a project's repository that were seen when they were last listed. Its id is that of the project."""
    __slots__ = ("project_id", "commits", "has_pull_requests")
    class CommitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    HAS_PULL_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The id of the project."""
    commits: _containers.ScalarMap[str, bytes]
    """The commit of each branch, tag and open pull request, by the full name of the ref. The refs that are gone are kept
    for a while.
    """
    has_pull_requests: bool
    """Whether open pull requests were listed. The first list of them makes nothing."""
    def __init__(self, project_id: _Optional[str] = ..., commits: _Optional[_Mapping[str, bytes]] = ..., has_pull_requests: _Optional[bool] = ...) -> None: ...

class DeliveryRecord(_message.Message):
    """A delivery. Its id is `<project>/<delivery>`."""
    __slots__ = ("delivery", "event", "order", "failures", "retry_time", "provider_key")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    RETRY_TIME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_KEY_FIELD_NUMBER: _ClassVar[int]
    delivery: _delivery_service_pb2.Delivery
    """The delivery as clients see it."""
    event: EventRecord
    """What it says. Not set: nothing to work on."""
    order: str
    """The place of its receipt in the log; events of one ref are worked on in this order."""
    failures: int
    """How often work on it was tried and failed since it was received or delivered again."""
    retry_time: _timestamp_pb2.Timestamp
    """Not before this time it is tried again. Not set: at once."""
    provider_key: str
    """What names it at the provider: project, remote source and the provider's id. Empty: the provider gave none."""
    def __init__(self, delivery: _Optional[_Union[_delivery_service_pb2.Delivery, _Mapping]] = ..., event: _Optional[_Union[EventRecord, _Mapping]] = ..., order: _Optional[str] = ..., failures: _Optional[int] = ..., retry_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., provider_key: _Optional[str] = ...) -> None: ...

class CommitStatusRecord(_message.Message):
    """The status of a commit in one context. Its id is made of project, commit and context: the newest run has it."""
    __slots__ = ("project_id", "commit_sha", "context", "run_id", "ref", "posted", "is_final", "failures", "retry_time")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_SHA_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    POSTED_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    RETRY_TIME_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    """The id of the project."""
    commit_sha: str
    """The commit."""
    context: str
    """The context, such as `sluiceway/build`."""
    run_id: str
    """The run whose state it is."""
    ref: str
    """The full name of the ref."""
    posted: str
    """The state that the provider has, in words of `forges.port`. Empty: none yet."""
    is_final: bool
    """Whether the provider has the last state that the run will have."""
    failures: int
    """How often the present state could not be posted."""
    retry_time: _timestamp_pb2.Timestamp
    """Not before this time it is tried again. Not set: at once."""
    def __init__(self, project_id: _Optional[str] = ..., commit_sha: _Optional[str] = ..., context: _Optional[str] = ..., run_id: _Optional[str] = ..., ref: _Optional[str] = ..., posted: _Optional[str] = ..., is_final: _Optional[bool] = ..., failures: _Optional[int] = ..., retry_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ScheduleRecord(_message.Message):
    """A schedule of a project. Its id is `<project>/<schedule>`."""
    __slots__ = ("schedule",)
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    schedule: _schedule_service_pb2.Schedule
    """The schedule as clients see it."""
    def __init__(self, schedule: _Optional[_Union[_schedule_service_pb2.Schedule, _Mapping]] = ...) -> None: ...
