from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sala.v1 import event_pb2 as _event_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

CHECK_KIND_CONNECTED: CheckKind
CHECK_KIND_DROPS: CheckKind
CHECK_KIND_HISTORY: CheckKind
CHECK_KIND_IN_ROOM: CheckKind
CHECK_KIND_MAY_JOIN: CheckKind
CHECK_KIND_MAY_PUBLISH: CheckKind
CHECK_KIND_MESSAGES: CheckKind
CHECK_KIND_NODES: CheckKind
CHECK_KIND_QUEUE: CheckKind
CHECK_KIND_REFUSALS: CheckKind
CHECK_KIND_SESSION: CheckKind
CHECK_KIND_UNSPECIFIED: CheckKind
CHECK_RESULT_NOTE: CheckResult
CHECK_RESULT_OK: CheckResult
CHECK_RESULT_PROBLEM: CheckResult
CHECK_RESULT_UNSPECIFIED: CheckResult
DESCRIPTOR: _descriptor.FileDescriptor
OUTCOME_RESULT_ANSWERED: OutcomeResult
OUTCOME_RESULT_DONE: OutcomeResult
OUTCOME_RESULT_DROPPED: OutcomeResult
OUTCOME_RESULT_HANDED_OVER: OutcomeResult
OUTCOME_RESULT_REFUSED: OutcomeResult
OUTCOME_RESULT_RELAYED: OutcomeResult
OUTCOME_RESULT_SENT: OutcomeResult
OUTCOME_RESULT_UNSPECIFIED: OutcomeResult

class Check(_message.Message):
    __slots__ = ["advice", "answer", "kind", "result"]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    advice: str
    answer: str
    kind: CheckKind
    result: CheckResult
    def __init__(self, kind: _Optional[_Union[CheckKind, str]] = ..., result: _Optional[_Union[CheckResult, str]] = ..., answer: _Optional[str] = ..., advice: _Optional[str] = ...) -> None: ...

class EmitTarget(_message.Message):
    __slots__ = ["everyone", "more", "rooms", "sockets", "users"]
    EVERYONE_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    everyone: bool
    more: int
    rooms: _containers.RepeatedScalarFieldContainer[str]
    sockets: _containers.RepeatedScalarFieldContainer[str]
    users: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, everyone: bool = ..., rooms: _Optional[_Iterable[str]] = ..., users: _Optional[_Iterable[str]] = ..., sockets: _Optional[_Iterable[str]] = ..., more: _Optional[int] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ["namespace", "room", "user"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    room: str
    user: str
    def __init__(self, user: _Optional[str] = ..., room: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ["checks", "drops", "messages", "missing_nodes", "partial", "problems", "sockets"]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[Check]
    drops: _containers.RepeatedCompositeFieldContainer[TailEvent]
    messages: _containers.RepeatedCompositeFieldContainer[TailEvent]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    problems: _containers.RepeatedCompositeFieldContainer[TailEvent]
    sockets: _containers.RepeatedCompositeFieldContainer[ExplainedSocket]
    def __init__(self, checks: _Optional[_Iterable[_Union[Check, _Mapping]]] = ..., sockets: _Optional[_Iterable[_Union[ExplainedSocket, _Mapping]]] = ..., problems: _Optional[_Iterable[_Union[TailEvent, _Mapping]]] = ..., messages: _Optional[_Iterable[_Union[TailEvent, _Mapping]]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ..., drops: _Optional[_Iterable[_Union[TailEvent, _Mapping]]] = ...) -> None: ...

class ExplainedSocket(_message.Message):
    __slots__ = ["address", "away", "blocked", "connect_time", "id", "in_room", "incomplete", "may_join", "may_publish", "node", "queued_bytes", "rooms", "session", "token_expire_time", "transport", "unconfirmed"]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    IN_ROOM_FIELD_NUMBER: _ClassVar[int]
    MAY_JOIN_FIELD_NUMBER: _ClassVar[int]
    MAY_PUBLISH_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    UNCONFIRMED_FIELD_NUMBER: _ClassVar[int]
    address: str
    away: bool
    blocked: bool
    connect_time: _timestamp_pb2.Timestamp
    id: str
    in_room: bool
    incomplete: bool
    may_join: bool
    may_publish: bool
    node: str
    queued_bytes: int
    rooms: int
    session: bool
    token_expire_time: _timestamp_pb2.Timestamp
    transport: str
    unconfirmed: int
    def __init__(self, id: _Optional[str] = ..., node: _Optional[str] = ..., address: _Optional[str] = ..., transport: _Optional[str] = ..., connect_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., away: bool = ..., in_room: bool = ..., rooms: _Optional[int] = ..., may_join: bool = ..., may_publish: bool = ..., token_expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., queued_bytes: _Optional[int] = ..., blocked: bool = ..., session: bool = ..., unconfirmed: _Optional[int] = ..., incomplete: bool = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ["points"]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: int
    def __init__(self, points: _Optional[int] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ["missing_nodes", "nodes", "partial", "step"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStats]
    partial: bool
    step: _duration_pb2.Duration
    def __init__(self, step: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[NodeStats, _Mapping]]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ["members", "name", "observes", "unacknowledged", "waiting"]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OBSERVES_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[GroupMember]
    name: str
    observes: bool
    unacknowledged: int
    waiting: int
    def __init__(self, name: _Optional[str] = ..., observes: bool = ..., waiting: _Optional[int] = ..., unacknowledged: _Optional[int] = ..., members: _Optional[_Iterable[_Union[GroupMember, _Mapping]]] = ...) -> None: ...

class GroupMember(_message.Message):
    __slots__ = ["credits", "decides", "events", "id", "key", "kinds", "namespaces", "node", "unacknowledged", "waiting"]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    DECIDES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    credits: int
    decides: bool
    events: _containers.RepeatedScalarFieldContainer[str]
    id: str
    key: str
    kinds: _containers.RepeatedScalarFieldContainer[_event_pb2.EventKind]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    node: str
    unacknowledged: int
    waiting: int
    def __init__(self, id: _Optional[str] = ..., node: _Optional[str] = ..., key: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_event_pb2.EventKind, str]]] = ..., namespaces: _Optional[_Iterable[str]] = ..., events: _Optional[_Iterable[str]] = ..., decides: bool = ..., credits: _Optional[int] = ..., waiting: _Optional[int] = ..., unacknowledged: _Optional[int] = ...) -> None: ...

class LimitHit(_message.Message):
    __slots__ = ["address", "count", "first_time", "last_time", "limit", "namespace", "node", "user"]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    address: str
    count: int
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    limit: str
    namespace: str
    node: str
    user: str
    def __init__(self, limit: _Optional[str] = ..., namespace: _Optional[str] = ..., user: _Optional[str] = ..., address: _Optional[str] = ..., node: _Optional[str] = ..., count: _Optional[int] = ..., last_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., first_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListGroupsResponse(_message.Message):
    __slots__ = ["groups", "missing_nodes", "partial"]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListLimitsRequest(_message.Message):
    __slots__ = ["namespace"]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class ListLimitsResponse(_message.Message):
    __slots__ = ["limits", "missing_nodes", "partial"]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[LimitHit]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, limits: _Optional[_Iterable[_Union[LimitHit, _Mapping]]] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class NodeStats(_message.Message):
    __slots__ = ["end_time", "node", "series"]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    end_time: _timestamp_pb2.Timestamp
    node: str
    series: _containers.RepeatedCompositeFieldContainer[StatsSeries]
    def __init__(self, node: _Optional[str] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., series: _Optional[_Iterable[_Union[StatsSeries, _Mapping]]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ["code", "dropped", "groups", "kept", "matched", "message", "missing_nodes", "other_nodes", "partial", "queued", "result", "took"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    OTHER_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    TOOK_FIELD_NUMBER: _ClassVar[int]
    code: str
    dropped: int
    groups: _containers.RepeatedScalarFieldContainer[str]
    kept: int
    matched: int
    message: str
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    other_nodes: bool
    partial: bool
    queued: int
    result: OutcomeResult
    took: _duration_pb2.Duration
    def __init__(self, result: _Optional[_Union[OutcomeResult, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., matched: _Optional[int] = ..., queued: _Optional[int] = ..., kept: _Optional[int] = ..., dropped: _Optional[int] = ..., partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ..., other_nodes: bool = ..., groups: _Optional[_Iterable[str]] = ..., took: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StatsSeries(_message.Message):
    __slots__ = ["label", "name", "values"]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    label: str
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., label: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class TailEvent(_message.Message):
    __slots__ = ["address", "args_json", "attachments", "count", "delivery_id", "event", "key", "kind", "limit", "namespace", "node", "not_recovered", "outcome", "previous_socket_id", "reason", "room", "socket", "target", "time", "user", "wants_ack"]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NOT_RECOVERED_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SOCKET_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    WANTS_ACK_FIELD_NUMBER: _ClassVar[int]
    address: str
    args_json: str
    attachments: _containers.RepeatedScalarFieldContainer[bytes]
    count: int
    delivery_id: str
    event: str
    key: str
    kind: _event_pb2.EventKind
    limit: str
    namespace: str
    node: str
    not_recovered: str
    outcome: Outcome
    previous_socket_id: str
    reason: str
    room: str
    socket: _event_pb2.EventSocket
    target: EmitTarget
    time: _timestamp_pb2.Timestamp
    user: str
    wants_ack: bool
    def __init__(self, kind: _Optional[_Union[_event_pb2.EventKind, str]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., node: _Optional[str] = ..., namespace: _Optional[str] = ..., socket: _Optional[_Union[_event_pb2.EventSocket, _Mapping]] = ..., user: _Optional[str] = ..., address: _Optional[str] = ..., room: _Optional[str] = ..., event: _Optional[str] = ..., args_json: _Optional[str] = ..., attachments: _Optional[_Iterable[bytes]] = ..., reason: _Optional[str] = ..., previous_socket_id: _Optional[str] = ..., not_recovered: _Optional[str] = ..., wants_ack: bool = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ..., target: _Optional[_Union[EmitTarget, _Mapping]] = ..., key: _Optional[str] = ..., limit: _Optional[str] = ..., count: _Optional[int] = ..., delivery_id: _Optional[str] = ...) -> None: ...

class TailMissed(_message.Message):
    __slots__ = ["events"]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: int
    def __init__(self, events: _Optional[int] = ...) -> None: ...

class TailRequest(_message.Message):
    __slots__ = ["events", "kinds", "namespaces", "problems", "rooms", "users"]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[_event_pb2.EventKind]
    namespaces: _containers.RepeatedScalarFieldContainer[str]
    problems: bool
    rooms: _containers.RepeatedScalarFieldContainer[str]
    users: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespaces: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[_event_pb2.EventKind, str]]] = ..., users: _Optional[_Iterable[str]] = ..., rooms: _Optional[_Iterable[str]] = ..., events: _Optional[_Iterable[str]] = ..., problems: bool = ...) -> None: ...

class TailResponse(_message.Message):
    __slots__ = ["event", "missed", "status"]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    event: TailEvent
    missed: TailMissed
    status: TailStatus
    def __init__(self, status: _Optional[_Union[TailStatus, _Mapping]] = ..., event: _Optional[_Union[TailEvent, _Mapping]] = ..., missed: _Optional[_Union[TailMissed, _Mapping]] = ...) -> None: ...

class TailStatus(_message.Message):
    __slots__ = ["missing_nodes", "partial"]
    MISSING_NODES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    missing_nodes: _containers.RepeatedScalarFieldContainer[str]
    partial: bool
    def __init__(self, partial: bool = ..., missing_nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class OutcomeResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class CheckKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class CheckResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
