// The client from the README. It connects with a token, joins a room and prints the
// news events that the room gets.
//
//   npm ci && node client.mjs TOKEN
import { io } from 'socket.io-client';

const token = process.argv[2];

const socket = io('http://127.0.0.1:3000', { auth: { token } });
socket.on('connect', () => socket.emit('join', { room: 'chat:42' }, (answer) => console.log(answer)));
socket.on('news', (item) => console.log(item.text));
socket.on('connect_error', (err) => console.error(err.data?.code ?? 'NO_CONNECTION', err.message)); // TOKEN_EXPIRED, for example
