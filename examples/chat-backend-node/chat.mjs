// The rules of the chat.

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Chat {
  #events = {
    say: (event) => this.#say(event),
    history: (event) => this.#history(event),
    avatar: async ({ argsJson, attachments }) => ({ argsJson, attachments }), // return the binary data unchanged
  };

  constructor({ sala, store, banned, unwanted }) {
    Object.assign(this, { sala, store, banned, unwanted });
  }

  // handle returns the answer to an event, or undefined if the event needs none.
  async handle(event) {
    const { deliveryId } = event;
    if (event.needsDecision) return { decision: { deliveryId, ...this.#decide(event) } };
    if (event.kind !== 'EVENT_KIND_MESSAGE') return undefined; // a client has connected
    const reply = await this.#events[event.event](event).catch(explain);
    return event.needsAck ? { reply: { deliveryId, ...reply } } : undefined;
  }

  // Accept everyone who isn't banned, and put them into the lobby.
  #decide({ socket }) {
    if (this.banned.has(socket.user.toLowerCase())) return { refuse: { code: 'BANNED', message: 'you are banned from this chat' } };
    return { accept: { rooms: ['lobby'] } };
  }

  // say stores {room, text} and sends it to the room. It may be called twice with the
  // same delivery, and the first call may have failed at any point. The store therefore
  // keeps the message once, and clients ignore an id that they already have.
  async #say(event) {
    const { room, text } = argument(event);
    if (!isText(room) || !isText(text)) throw new Refused('INVALID_ARGUMENT', 'send {room, text}');
    if (text.toLowerCase().split(/[\s.,;:!?]+/).some((word) => this.unwanted.has(word))) throw new Refused('MODERATED', 'mind your language');
    const { socket } = await this.sala.getSocket(event.socket.id);
    if (!socket.rooms.includes(room)) throw new Refused('NOT_IN_ROOM', 'join the room first');
    const message = await this.store.add(event.deliveryId, { room, user: event.socket.user, text });
    await this.sala.emit({ namespace: event.namespace, rooms: [room], event: 'said', argsJson: JSON.stringify([message]) });
    return { argsJson: JSON.stringify([{ id: message.id, at: message.at }]) };
  }

  // history answers {room} with the room's last messages, oldest first.
  async #history(event) {
    const { room } = argument(event);
    if (!isText(room)) throw new Refused('INVALID_ARGUMENT', 'send {room}');
    return { argsJson: JSON.stringify([this.store.last(room)]) };
  }
}

const isText = (value) => typeof value === 'string' && value !== '';

// argument returns the first argument of an event as an object, whatever the client sent.
function argument({ argsJson }) {
  const [first] = JSON.parse(argsJson);
  return Object(first);
}

// explain turns an error into the reply that the client gets as {error: {code, message}}.
function explain(err) {
  if (err instanceof Refused) return { error: { code: err.code, message: err.message } };
  console.error(err);
  return { error: { code: 'UNAVAILABLE', message: 'try again in a moment' } };
}
