/**
 * Client library for Sala, a realtime broker for Socket.IO clients.
 *
 * Begin with `connect`. `emit` and the like send events to clients; `subscribe` receives theirs.
 *
 * @packageDocumentation
 */
export { Ack, type Accept } from './ack.js';
export type { AckOptions, Acks, AckSummary, ClientAck } from './acks.js';
export { connect, type Client } from './client.js';
export type { CallOptions, ConnectOptions, StubConstructor, TlsOptions } from './connection.js';
export { ClientError, Refuse, SalaError, type Code, type FieldViolation } from './errors.js';
export type { ClientEvent, EventEmitOptions, EventKind, EventSocket, SocketEvent } from './event.js';
export type { DecideHandler, EventHandler, MessageHandler } from './handlers.js';
export type { List, Page } from './list.js';
export type { LogFields, Logger } from './log.js';
export type { BroadcastOptions, BroadcastResult, Emit, EmitOptions, EmitStreamOptions } from './messages.js';
export type { EmitOutcome, EmitResult } from './outcome.js';
export type { Counts, Online, PresentUser } from './presence.js';
export type { ClearResult, ClearRoomOptions, ListRoomsOptions, Position, ReadMessagesOptions, Room, RoomDetails, RoomMessage, RoomMessages, RoomOptions, Rooms, RoomUsersOptions } from './rooms.js';
export type { DisconnectResult, JoinResult, LeaveResult, ListSocketsOptions, Socket, SocketDetails, Sockets, UpdateResult } from './sockets.js';
export type { Reconnect, Rejected, Started, SubscribeOptions, Subscription } from './subscription.js';
export type { Exclusions, Names, Target } from './target.js';
export type { IssuedToken, RevokeRequest, RevokeResult, TokenClaims, TokenRequest, Tokens, TokenVerdict } from './tokens.js';
