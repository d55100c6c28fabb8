// El backend del chat: sirve la página y habla con la API REST de Sala. La clave
// de la API se queda aquí; el navegador solo recibe un JWT de una hora.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const PORT = Number(process.env.PORT ?? 8080);
const HOST = process.env.HOST ?? '127.0.0.1';
const SALA = process.env.SALA_HTTP_URL ?? 'http://127.0.0.1:9091'; // la API REST
const SALA_PUBLIC = process.env.SALA_PUBLIC_URL ?? 'http://localhost:3000'; // Socket.IO
const API_KEY = process.env.SALA_API_KEY ?? 'clave_api_solo_para_probar_el_chat';
const MAX_BODY = 10_000;

const FILES = {
  '/': ['public/index.html', 'text/html; charset=utf-8'],
  '/chat.css': ['public/chat.css', 'text/css; charset=utf-8'],
  '/chat.js': ['public/chat.js', 'text/javascript; charset=utf-8'],
  '/texts.js': ['public/texts.js', 'text/javascript; charset=utf-8'],
  '/icon.svg': ['public/icon.svg', 'image/svg+xml'],
  '/socket.io.js': ['node_modules/socket.io-client/dist/socket.io.esm.min.js', 'text/javascript; charset=utf-8'],
};

const ROUTES = {
  'GET /config': () => ({ url: SALA_PUBLIC }),

  'POST /login': async (request) => {
    const { username } = await body(request);
    const all = ['**'];
    const { token } = await sala('POST', '/v1/tokens', { user: username, ttl: '3600s', join: all, publish: all, history: all, presence: all, broadcast: true });
    return { token };
  },

  'GET /rooms': async (request) => {
    await loggedIn(request);
    const { rooms = [] } = await sala('GET', '/v1/rooms?namespace=/');
    return { rooms };
  },

  'POST /clear_room': async (request) => {
    await loggedIn(request);
    const { room } = await body(request);
    const notice = { event: 'message', args: [`La sala ${room} ha sido eliminada.`] };
    const path = `/v1/rooms/${encodeURIComponent(String(room))}`;
    await sala('DELETE', `${path}/messages`); // lo que la sala recuerda
    return sala('POST', `${path}:clear`, { notice });
  },
};

class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// sala llama a la API REST. Lo que Sala rechaza se devuelve tal cual.
async function sala(method, path, json) {
  const response = await fetch(SALA + path, {
    method,
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    body: json && JSON.stringify(json),
    signal: AbortSignal.timeout(5000),
  }).catch(() => {
    throw new HttpError(502, `Sala no responde en ${SALA}`);
  });
  const answer = await response.json();
  if (!response.ok) throw new HttpError(response.status, answer.message);
  return answer;
}

// loggedIn deja pasar solo a quien trae un JWT válido.
async function loggedIn(request) {
  const [, token] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
  const { valid } = token ? await sala('POST', '/v1/tokens:verify', { token }) : {};
  if (!valid) throw new HttpError(401, 'Hay que iniciar sesión.');
}

async function body(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_BODY) throw new HttpError(413, 'Demasiado grande.');
  }
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new HttpError(400, 'Se espera JSON.');
  }
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  const file = request.method === 'GET' && FILES[pathname];
  if (file) {
    const content = await readFile(fileURLToPath(new URL(file[0], import.meta.url)));
    return response.writeHead(200, { 'content-type': file[1] }).end(content);
  }
  const route = ROUTES[`${request.method} ${pathname}`];
  if (!route) throw new HttpError(404, 'No existe.');
  const result = JSON.stringify(await route(request));
  return response.writeHead(200, { 'content-type': 'application/json' }).end(result);
}

const websocket = SALA_PUBLIC.replace(/^http/, 'ws');
const server = createServer((request, response) => {
  response.setHeader('content-security-policy', `default-src 'self'; connect-src 'self' ${SALA_PUBLIC} ${websocket}; frame-ancestors 'none'`);
  response.setHeader('x-content-type-options', 'nosniff');
  answer(request, response).catch((err) => {
    if (!err.status) console.error(err);
    const status = err.status ?? 500;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error: err.status ? err.message : 'Error interno.' }));
  });
});

server.listen(PORT, HOST, () => {
  console.log(`Chat en http://localhost:${server.address().port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.close(() => process.exit(0)).closeAllConnections());
