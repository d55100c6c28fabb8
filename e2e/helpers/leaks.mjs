// Secrets to send everywhere, and the search for where they appear again.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

// canary is a secret that occurs nowhere else.
export const canary = () => randomBytes(24).toString('hex');

// forms are the ways in which a text could appear: whole, escaped, encoded; for a
// token also its parts.
function forms(text) {
  const parts = text.split('.').slice(1).filter((part) => part.length > 8);
  return new Set([text, ...parts, ...[text, ...parts].flatMap((part) => [
    encodeURIComponent(part), Buffer.from(part).toString('base64').replace(/=+$/, ''), Buffer.from(part).toString('base64url'), Buffer.from(part).toString('hex'),
  ])]);
}

export class Leaks {
  #secrets = new Map();

  // add names a secret, and returns it.
  add(name, text) {
    this.#secrets.set(text, name);
    return text;
  }

  // none fails if a text contains one of the secrets.
  none(where, text) {
    for (const [secret, name] of this.#secrets) {
      for (const form of forms(secret)) {
        const at = text.indexOf(form);
        assert.ok(at < 0, `${where} shows ${name}: …${text.slice(Math.max(0, at - 200), at + form.length)}`);
      }
    }
  }
}
