/**
 * The gRPC stubs and messages that are generated from the protos, for `client.stub`. Their methods take
 * callbacks, as those of grpc-js do. docs/api.md describes every call.
 *
 * @packageDocumentation
 */
export * as cluster from './gen/sala/v1/cluster.js';
export * as event from './gen/sala/v1/event.js';
export * as key from './gen/sala/v1/key.js';
export * as message from './gen/sala/v1/message.js';
export * as observe from './gen/sala/v1/observe.js';
export * as presence from './gen/sala/v1/presence.js';
export * as room from './gen/sala/v1/room.js';
export * as socket from './gen/sala/v1/socket.js';
export * as token from './gen/sala/v1/token.js';
