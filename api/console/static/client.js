// A small Socket.IO client over WebSocket, enough for this page and short enough
// to read: connect with auth, events, acks, errors, disconnects. It doesn't
// reconnect, poll or send binary. In applications, use the stock client:
// npm i socket.io-client
//
// A frame is an Engine.IO packet, whose first digit is its type; a message (4)
// holds a Socket.IO packet, whose first digit is again its type:
//
//   0{"sid":…,"pingInterval":…}    the server's opening
//   2 and 3                        ping and pong
//   40/chat,{"token":"…"}          connect to a namespace ("/" is left out)
//   42["event",…]                  an event;  421["event",…] asks for ack 1
//   431[…]                         ack 1
const ENGINE = { open: '0', close: '1', ping: '2', pong: '3', message: '4' };
const SOCKET = { connect: '0', disconnect: '1', event: '2', ack: '3', connectError: '4', binaryEvent: '5', binaryAck: '6' };

// type, attachments-, /namespace, ack id, JSON
const PACKET = /^(\d)(?:(\d+)-)?(?:(\/[^,]*),?)?(\d+)?(.*)$/s;

export class Socket {
  #ws;
  #namespace;
  #auth;
  #handlers = {};
  #acks = new Map();
  #nextAck = 0;
  #binary; // a packet that waits for its attachments
  #silence; // the timer that fires when the server's pings stop
  #patience; // for how long, in ms, the server may be silent
  #gone = false;

  id; // the socket's id, while it is connected

  // handlers: connect(id), connectError({message, data}), event(name, args),
  // disconnect(reason). No handler is called after connectError or disconnect.
  constructor(origin, { path = '/socket.io/', namespace = '/', auth = {}, handlers = {} }) {
    this.#namespace = namespace;
    this.#auth = auth;
    this.#handlers = handlers;
    this.#ws = new WebSocket(`${origin.replace(/^http/, 'ws')}${path}?EIO=4&transport=websocket`);
    this.#ws.binaryType = 'arraybuffer';
    this.#ws.onmessage = ({ data }) => (typeof data === 'string' ? this.#onFrame(data) : this.#onAttachment(data));
    this.#ws.onclose = () => this.#end('the connection was closed');
  }

  emit(event, ...args) {
    this.#send(SOCKET.event, JSON.stringify([event, ...args]));
  }

  // request emits and resolves to the first argument of the ack.
  request(event, ...args) {
    const id = this.#nextAck++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#acks.delete(id);
        reject(new Error(`no answer to ${event} within 5 s`));
      }, 5000);
      this.#acks.set(id, { resolve, reject, timer });
      this.#send(SOCKET.event, `${id}${JSON.stringify([event, ...args])}`);
    });
  }

  close() {
    if (this.id) this.#send(SOCKET.disconnect, '');
    this.#end('you disconnected');
  }

  #send(type, body) {
    const namespace = this.#namespace === '/' ? '' : `${this.#namespace},`;
    this.#ws.send(ENGINE.message + type + namespace + body);
  }

  #onFrame(frame) {
    switch (frame[0]) {
      case ENGINE.open: {
        const { pingInterval, pingTimeout } = JSON.parse(frame.slice(1));
        this.#patience = pingInterval + pingTimeout;
        this.#expectPing();
        this.#send(SOCKET.connect, JSON.stringify(this.#auth));
        break;
      }
      case ENGINE.ping:
        this.#ws.send(ENGINE.pong);
        this.#expectPing();
        break;
      case ENGINE.message:
        this.#onPacket(frame.slice(1));
        break;
      case ENGINE.close:
        this.#end('the server closed the connection');
        break;
    }
  }

  #expectPing() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#end('the server went silent'), this.#patience);
  }

  #onPacket(text) {
    const [, type, attachments, , ackId, json] = PACKET.exec(text) ?? [];
    const data = json ? JSON.parse(json) : undefined;
    switch (type) {
      case SOCKET.connect:
        this.id = data.sid;
        this.#handlers.connect?.(data.sid);
        break;
      case SOCKET.connectError:
        this.#gone = true; // connectError has reported the refusal: no disconnect follows
        this.#handlers.connectError?.(data);
        this.#shut();
        break;
      case SOCKET.disconnect:
        this.#end('the server disconnected this client');
        break;
      case SOCKET.event:
        this.#handlers.event?.(data[0], data.slice(1));
        break;
      case SOCKET.ack:
        this.#onAck(Number(ackId), data);
        break;
      case SOCKET.binaryEvent:
      case SOCKET.binaryAck:
        this.#binary = { type, ackId: Number(ackId), data, missing: Number(attachments), parts: [] };
        break;
    }
  }

  #onAttachment(buffer) {
    const packet = this.#binary;
    if (!packet) return;
    packet.parts.push(new Uint8Array(buffer));
    if (packet.parts.length < packet.missing) return;
    this.#binary = undefined;
    const data = fillPlaceholders(packet.data, packet.parts);
    if (packet.type === SOCKET.binaryAck) this.#onAck(packet.ackId, data);
    else this.#handlers.event?.(data[0], data.slice(1));
  }

  #onAck(id, args) {
    const ack = this.#acks.get(id);
    if (!ack) return;
    this.#acks.delete(id);
    clearTimeout(ack.timer);
    ack.resolve(args[0]);
  }

  #end(reason) {
    if (this.#gone) return;
    this.#gone = true;
    this.#shut();
    this.#handlers.disconnect?.(reason);
  }

  #shut() {
    this.id = undefined;
    clearTimeout(this.#silence);
    for (const { reject, timer } of this.#acks.values()) {
      clearTimeout(timer);
      reject(new Error('disconnected'));
    }
    this.#acks.clear();
    this.#ws.close();
  }
}

// Where a packet has binary data, its JSON has {"_placeholder":true,"num":0}.
function fillPlaceholders(value, parts) {
  if (value === null || typeof value !== 'object') return value;
  if (value._placeholder === true) return parts[value.num];
  if (Array.isArray(value)) return value.map((item) => fillPlaceholders(item, parts));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillPlaceholders(item, parts)]));
}
