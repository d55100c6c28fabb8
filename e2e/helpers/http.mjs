// Requests that neither fetch nor a Socket.IO client would make.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { deadline } from './wait.mjs';

// rawGet sends a GET with exactly these headers: {status, headers, body}.
export function rawGet(url, headers = {}, method = 'GET') {
  return deadline(new Promise((resolve, reject) => {
    http.request(url, { method, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => { body += text; });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    }).on('error', reject).end();
  }), `an answer from ${url}`);
}

// rawUpgrade requests a WebSocket: {status, socket}. There is a socket only if the
// status is 101.
export function rawUpgrade(origin, headers) {
  return deadline(new Promise((resolve, reject) => {
    const request = http.request(`${origin}/socket.io/?EIO=4&transport=websocket`, {
      agent: false,
      headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': randomBytes(16).toString('base64'), ...headers },
    });
    request.on('upgrade', (response, socket) => {
      socket.on('error', () => {}); // a reset is a normal end
      resolve({ status: response.statusCode, socket });
    });
    request.on('response', (response) => {
      response.resume();
      resolve({ status: response.statusCode });
    });
    request.on('error', reject).end();
  }), `an upgrade at ${origin}`);
}
