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
    avatar: async ({ argsJson, attachments }) => ({ argsJson, attachments }), // binary data goes back as it came
  };

  constructor({ sala, store, banned, unwanted }) {
    Object.assign(this, { sala, store, banned, unwanted });
  }

  // handle returns the answer to an event, if it needs one.
  async handle(event) {
    const { deliveryId } = event;
    if (event.needsDecision) return { decision: { deliveryId, ...this.#decide(event) } };
    if (event.kind !== 'EVENT_KIND_MESSAGE') return undefined; // somebody has connected
    const reply = await this.#events[event.event](event).catch(explain);
    return event.needsAck ? { reply: { deliveryId, ...reply } } : undefined;
  }

  // Everybody who isn't banned is let into the lobby.
  #decide({ socket }) {
    if (this.banned.has(socket.user.toLowerCase())) return { refuse: { code: 'BANNED', message: 'you are banned from this chat' } };
    return { accept: { rooms: ['lobby'] } };
  }

  // say stores {room, text} and passes it on to the room. It may be called twice with
  // one delivery, of which the first time may have ended anywhere: the store keeps the
  // message once, and clients ignore an id that they have.
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

  // history answers {room} with the last messages there, oldest first.
  async #history(event) {
    const { room } = argument(event);
    if (!isText(room)) throw new Refused('INVALID_ARGUMENT', 'send {room}');
    return { argsJson: JSON.stringify([this.store.last(room)]) };
  }
}

const isText = (value) => typeof value === 'string' && value !== '';

// argument is the first argument of an event, if it is an object.
function argument({ argsJson }) {
  const [first] = JSON.parse(argsJson);
  return Object(first);
}

// explain makes an error what the client gets as {error: {code, message}}.
function explain(err) {
  if (err instanceof Refused) return { error: { code: err.code, message: err.message } };
  console.error(err);
  return { error: { code: 'UNAVAILABLE', message: 'try again in a moment' } };
}
