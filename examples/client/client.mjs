// The client of the README: it connects with the token that it is given,
// joins a room and prints the news.
//
//   npm ci && node client.mjs TOKEN
import { io } from 'socket.io-client';

const token = process.argv[2];

const socket = io('http://127.0.0.1:3000', { auth: { token } });
socket.on('connect', () => socket.emit('join', { room: 'chat:42' }, (answer) => console.log(answer)));
socket.on('news', (item) => console.log(item.text));
socket.on('connect_error', (err) => console.error(err.data?.code ?? 'NO_CONNECTION', err.message)); // such as TOKEN_EXPIRED
