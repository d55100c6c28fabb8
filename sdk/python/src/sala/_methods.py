"""The unary methods of the API that the client calls, with the types of their messages."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from sala.v1 import message_pb2 as message
from sala.v1 import presence_pb2 as presence
from sala.v1 import room_pb2 as room
from sala.v1 import socket_pb2 as socket
from sala.v1 import token_pb2 as token

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Req, Resp]):
    """A method of the API.

    repeatable: whether a call that may have been carried out may be made again without harm.
    """

    path: str
    request: type[Req]
    response: type[Resp]
    repeatable: bool = False


EMIT = Method("/sala.v1.MessageService/Emit", message.EmitRequest, message.EmitResponse)
BROADCAST = Method(
    "/sala.v1.MessageService/Broadcast", message.BroadcastRequest, message.BroadcastResponse
)
EMIT_BATCH = Method(
    "/sala.v1.MessageService/EmitBatch", message.EmitBatchRequest, message.EmitBatchResponse
)
EMIT_WITH_ACK = Method(
    "/sala.v1.MessageService/EmitWithAck", message.EmitWithAckRequest, message.EmitWithAckResponse
)

ISSUE_TOKEN = Method(
    "/sala.v1.TokenService/IssueToken", token.IssueTokenRequest, token.IssueTokenResponse, True
)
VERIFY_TOKEN = Method(
    "/sala.v1.TokenService/VerifyToken", token.VerifyTokenRequest, token.VerifyTokenResponse, True
)
# A token that is issued between two attempts would be revoked as well, unless issued_before is set.
REVOKE_TOKENS = Method(
    "/sala.v1.TokenService/RevokeTokens", token.RevokeTokensRequest, token.RevokeTokensResponse
)

LIST_ROOMS = Method(
    "/sala.v1.RoomService/ListRooms", room.ListRoomsRequest, room.ListRoomsResponse, True
)
GET_ROOM = Method("/sala.v1.RoomService/GetRoom", room.GetRoomRequest, room.GetRoomResponse, True)
# Clients that rejoin because of the notice would be removed by a second attempt.
CLEAR_ROOM = Method("/sala.v1.RoomService/ClearRoom", room.ClearRoomRequest, room.ClearRoomResponse)
LIST_MESSAGES = Method(
    "/sala.v1.RoomService/ListMessages", room.ListMessagesRequest, room.ListMessagesResponse, True
)
# Messages that are emitted between two attempts would be forgotten.
CLEAR_MESSAGES = Method(
    "/sala.v1.RoomService/ClearMessages", room.ClearMessagesRequest, room.ClearMessagesResponse
)

LIST_USERS = Method(
    "/sala.v1.PresenceService/ListUsers",
    presence.ListUsersRequest,
    presence.ListUsersResponse,
    True,
)
COUNT = Method(
    "/sala.v1.PresenceService/Count", presence.CountRequest, presence.CountResponse, True
)
ONLINE = Method(
    "/sala.v1.PresenceService/Online", presence.OnlineRequest, presence.OnlineResponse, True
)

LIST_SOCKETS = Method(
    "/sala.v1.SocketService/ListSockets",
    socket.ListSocketsRequest,
    socket.ListSocketsResponse,
    True,
)
GET_SOCKET = Method(
    "/sala.v1.SocketService/GetSocket", socket.GetSocketRequest, socket.GetSocketResponse, True
)
JOIN = Method("/sala.v1.SocketService/Join", socket.JoinRequest, socket.JoinResponse, True)
LEAVE = Method("/sala.v1.SocketService/Leave", socket.LeaveRequest, socket.LeaveResponse, True)
UPDATE = Method("/sala.v1.SocketService/Update", socket.UpdateRequest, socket.UpdateResponse, True)
# A user who has come back would be disconnected by a second attempt.
DISCONNECT = Method(
    "/sala.v1.SocketService/Disconnect", socket.DisconnectRequest, socket.DisconnectResponse
)
