// The rules of the chat.
import { ClientError, Refuse, SalaError } from '@salabroker/sala';

export class Chat {
  constructor({ sala, store, banned, unwanted }) {
    Object.assign(this, { sala, store, banned, unwanted });
  }

  // decide accepts everyone who isn't banned, and puts them into the lobby.
  decide({ socket }) {
    if (this.banned.has(socket.user.toLowerCase())) throw new Refuse('BANNED', 'you are banned from this chat');
    return { rooms: ['lobby'] };
  }

  // say stores {room, text} and sends it to the room. It may be called twice with the
  // same delivery, and the first call may have failed at any point. The store therefore
  // keeps the message once, and clients ignore an id that they already have.
  async say(event) {
    const { room, text } = Object(event.args[0]); // whatever the client sent
    if (!isText(room) || !isText(text)) throw new ClientError('INVALID_ARGUMENT', 'send {room, text}');
    if (text.toLowerCase().split(/[\s.,;:!?]+/).some((word) => this.unwanted.has(word))) throw new ClientError('MODERATED', 'mind your language');
    const { rooms } = await this.sala.sockets.get(event.socket.id).catch(tryAgain);
    if (!rooms.includes(room)) throw new ClientError('NOT_IN_ROOM', 'join the room first');
    const message = await this.store.add(event.deliveryId, { room, user: event.socket.user, text });
    await event.emitTo(room, 'said', [message]).catch(tryAgain);
    return { id: message.id, at: message.at };
  }

  // history answers {room} with the room's last messages, oldest first.
  history({ args }) {
    const { room } = Object(args[0]);
    if (!isText(room)) throw new ClientError('INVALID_ARGUMENT', 'send {room}');
    return this.store.last(room);
  }
}

const isText = (value) => typeof value === 'string' && value !== '';

// tryAgain tells the client that a call to Sala has failed.
function tryAgain(err) {
  if (!(err instanceof SalaError)) throw err;
  console.error(err);
  throw new ClientError('UNAVAILABLE', 'try again in a moment');
}
