// The messages, in a file with one JSON object per line. It also keeps all of them in
// memory, which is fine for an example.
import { open, readFile } from 'node:fs/promises';

export class Store {
  #file;
  #messages = [];
  #byDelivery = new Map();

  static async open(name) {
    const store = new Store();
    const text = await readFile(name, 'utf8').catch((err) => {
      if (err.code !== 'ENOENT') throw err;
      return '';
    });
    const complete = text.slice(0, text.lastIndexOf('\n') + 1); // a crash may have truncated the last line
    for (const line of complete.split('\n').filter(Boolean)) store.#keep(JSON.parse(line));
    store.#file = await open(name, 'a');
    await store.#file.truncate(Buffer.byteLength(complete));
    return store;
  }

  close() {
    return this.#file.close();
  }

  // add stores a message and returns it with its id. If this delivery is already stored,
  // it returns the stored message instead.
  async add(delivery, { room, user, text }) {
    const known = this.#byDelivery.get(delivery);
    if (known) return known;
    const message = { id: this.#messages.length + 1, room, user, text, at: Date.now() };
    await this.#file.appendFile(`${JSON.stringify({ delivery, message })}\n`);
    return this.#keep({ delivery, message });
  }

  // last returns the last 50 messages of a room, oldest first.
  last(room) {
    return this.#messages.filter((message) => message.room === room).slice(-50);
  }

  #keep({ delivery, message }) {
    this.#messages.push(message);
    this.#byDelivery.set(delivery, message);
    return message;
  }
}
