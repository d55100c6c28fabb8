// A small Socket.IO client over WebSocket, enough to try things and short enough to read: connect
// with auth, events, acks, refusals, disconnects. It doesn't reconnect, poll or send binary data.
// Applications use the stock client: npm i socket.io-client
//
// A frame is an Engine.IO packet, whose first digit is its type; a message (4) holds a Socket.IO
// packet, whose first digit is again its type:
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

const ACK_TIMEOUT = 5000;

export interface Handlers {
  connect: (id: string) => void;
  refused: (message: string, data: unknown) => void;
  event: (name: string, args: unknown[]) => void;
  disconnect: (reason: Ending) => void;
}

/** Why a connection ended. */
export type Ending = 'closed' | 'server' | 'silent' | 'self';

interface PendingAck {
  resolve: (answer: unknown) => void;
  reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

interface BinaryPacket {
  type: string;
  ackId: number;
  data: unknown[];
  missing: number;
  parts: Uint8Array[];
}

/** No handler is called after refused or disconnect. */
export class Socket {
  /** The socket's id while it is connected. */
  id = '';

  readonly #ws: WebSocket;
  readonly #namespace: string;
  readonly #token: string;
  readonly #handlers: Handlers;
  readonly #acks = new Map<number, PendingAck>();
  #nextAck = 0;
  #binary: BinaryPacket | undefined; // waits for its attachments
  #silence: ReturnType<typeof setTimeout> | undefined; // fires when the server's pings stop
  #patience = 0; // for how long, in ms, the server may be silent
  #ended = false;

  constructor(origin: string, path: string, namespace: string, token: string, handlers: Handlers) {
    this.#namespace = namespace;
    this.#token = token;
    this.#handlers = handlers;
    this.#ws = new WebSocket(`${origin.replace(/^http/, 'ws')}${path}?EIO=4&transport=websocket`);
    this.#ws.binaryType = 'arraybuffer';
    this.#ws.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => (typeof data === 'string' ? this.#onFrame(data) : this.#onAttachment(data));
    this.#ws.onclose = () => this.#end('closed');
  }

  emit(event: string, ...args: unknown[]): void {
    this.#send(SOCKET.event, JSON.stringify([event, ...args]));
  }

  /** Emits, and resolves to the first argument of the ack. */
  request(event: string, ...args: unknown[]): Promise<unknown> {
    const id = this.#nextAck++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#acks.delete(id);
        reject(new Error('timeout'));
      }, ACK_TIMEOUT);
      this.#acks.set(id, { resolve, reject, timer });
      this.#send(SOCKET.event, `${id}${JSON.stringify([event, ...args])}`);
    });
  }

  close(): void {
    if (this.id) this.#send(SOCKET.disconnect, '');
    this.#end('self');
  }

  #send(type: string, body: string): void {
    const namespace = this.#namespace === '/' ? '' : `${this.#namespace},`;
    this.#ws.send(ENGINE.message + type + namespace + body);
  }

  #onFrame(frame: string): void {
    switch (frame[0]) {
      case ENGINE.open: {
        const { pingInterval, pingTimeout } = JSON.parse(frame.slice(1)) as { pingInterval: number; pingTimeout: number };
        this.#patience = pingInterval + pingTimeout;
        this.#expectPing();
        this.#send(SOCKET.connect, JSON.stringify({ token: this.#token }));
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
        this.#end('server');
        break;
    }
  }

  #expectPing(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#end('silent'), this.#patience);
  }

  #onPacket(text: string): void {
    const [, type = '', attachments, , ackId, json] = PACKET.exec(text) ?? [];
    const data: unknown = json ? JSON.parse(json) : undefined;
    switch (type) {
      case SOCKET.connect:
        this.id = (data as { sid: string }).sid;
        this.#handlers.connect(this.id);
        break;
      case SOCKET.connectError: {
        const refusal = data as { message: string; data?: unknown };
        this.#ended = true; // the refusal is reported: no disconnect follows
        this.#handlers.refused(refusal.message, refusal.data);
        this.#shut();
        break;
      }
      case SOCKET.disconnect:
        this.#end('server');
        break;
      case SOCKET.event:
        this.#onEvent(data as unknown[]);
        break;
      case SOCKET.ack:
        this.#onAck(Number(ackId), data as unknown[]);
        break;
      case SOCKET.binaryEvent:
      case SOCKET.binaryAck:
        this.#binary = { type, ackId: Number(ackId), data: data as unknown[], missing: Number(attachments), parts: [] };
        break;
    }
  }

  #onAttachment(buffer: ArrayBuffer): void {
    const packet = this.#binary;
    if (!packet) return;
    packet.parts.push(new Uint8Array(buffer));
    if (packet.parts.length < packet.missing) return;
    this.#binary = undefined;
    const data = fillPlaceholders(packet.data, packet.parts) as unknown[];
    if (packet.type === SOCKET.binaryAck) this.#onAck(packet.ackId, data);
    else this.#onEvent(data);
  }

  #onEvent([name, ...args]: unknown[]): void {
    this.#handlers.event(String(name), args);
  }

  #onAck(id: number, args: unknown[]): void {
    const ack = this.#acks.get(id);
    if (!ack) return;
    this.#acks.delete(id);
    clearTimeout(ack.timer);
    ack.resolve(args[0]);
  }

  #end(reason: Ending): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#shut();
    this.#handlers.disconnect(reason);
  }

  #shut(): void {
    this.id = '';
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
function fillPlaceholders(value: unknown, parts: readonly Uint8Array[]): unknown {
  if (value === null || typeof value !== 'object') return value;
  if ('_placeholder' in value && value._placeholder === true && 'num' in value) return parts[Number(value.num)];
  if (Array.isArray(value)) return value.map((item) => fillPlaceholders(item, parts));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillPlaceholders(item, parts)]));
}
