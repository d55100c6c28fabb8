// JWTs as another program would make them, valid and invalid ones.
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// jwt signs claims; alg is HS256 by default.
export function jwt(claims, { secret, alg = 'HS256', header = {} } = {}) {
  const signed = `${encode({ alg, typ: 'JWT', ...header })}.${encode(claims)}`;
  return `${signed}.${signature(alg, signed, secret)}`;
}

function signature(alg, text, secret) {
  switch (alg) {
    case 'none':
      return '';
    case 'RS256':
      return sign('RSA-SHA256', Buffer.from(text), generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey).toString('base64url');
    default:
      return createHmac(alg.replace('HS', 'sha'), secret).update(text).digest('base64url');
  }
}
