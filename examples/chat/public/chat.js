// El chat del navegador, con el cliente de Socket.IO de siempre. Lo que llega de
// otros solo se muestra como texto.
import { io } from './socket.io.js';

const MAX_MESSAGES = 500; // por sala
const $ = (id) => document.getElementById(id);

const me = { username: '', token: '' };
const joined = new Map(); // sala -> { messages, unread, gone }
let active = []; // las salas que hay, con sus clientes
let current = ''; // la sala que se ve
let socket;

// ---- el backend -------------------------------------------------------------

async function call(method, path, json) {
  const response = await fetch(path, {
    method,
    headers: { 'content-type': 'application/json', ...(me.token && { authorization: `Bearer ${me.token}` }) },
    body: json && JSON.stringify(json),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// ---- conexión ---------------------------------------------------------------

async function login(username, room) {
  me.username = username;
  ({ token: me.token } = await call('POST', '/login', { username }));
  const { url } = await call('GET', '/config');
  socket = io(url, { auth: { token: me.token } });

  socket.on('connect', () => {
    $('login').hidden = true;
    $('chat').hidden = false;
    $('me').textContent = me.username;
    $('state').textContent = 'Conectado';
    // Después de un corte el servidor ya no sabe en qué salas estábamos.
    for (const name of joined.size ? [...joined.keys()] : [room]) join(name);
  });
  socket.on('disconnect', () => { $('state').textContent = 'Sin conexión'; });
  socket.on('connect_error', (err) => {
    $('state').textContent = 'Sin conexión';
    if (!err.data) return; // la red: el cliente vuelve a intentarlo solo
    fail(`Sala no deja entrar: ${err.message}`);
  });
  socket.on('sala:disconnect', ({ code, reason }) => notice(`Te han desconectado: ${reason || code}`));
  socket.on('message', onNotice);
  socket.on('my_response', onMessage);
}

function fail(message) {
  $('login').hidden = false;
  $('chat').hidden = true;
  $('login-error').textContent = message;
  $('login-error').hidden = false;
}

// ---- salas ------------------------------------------------------------------

async function join(room) {
  // Antes de pedirlo: el propio aviso puede llegar antes que la respuesta.
  const kept = joined.get(room) ?? { messages: [], unread: 0 };
  joined.set(room, { ...kept, gone: false });
  const ack = await ask('join', { username: me.username, room });
  if (!ack.error) return show(room);
  joined.delete(room);
  return notice(`No puedes entrar en ${room}: ${ack.error.message}`);
}

async function leave(room) {
  const ack = await ask('leave', { username: me.username, room });
  if (ack.error) return notice(ack.error.message);
  return forget(room);
}

function forget(room) {
  joined.delete(room);
  if (current === room) show([...joined.keys()].at(-1) ?? '');
  return refresh();
}

// ask emite y espera la respuesta; un silencio también es una respuesta.
async function ask(event, data) {
  try {
    return await socket.timeout(5000).emitWithAck(event, data);
  } catch {
    return { error: { message: 'no hay respuesta' } };
  }
}

async function refresh() {
  try {
    ({ rooms: active } = await call('GET', '/rooms'));
  } catch {
    return; // se ve en el estado de la conexión
  }
  showRooms();
}

// ---- lo que llega -----------------------------------------------------------

// Los avisos de Sala son frases: "Ana ha entrado en la sala general."
function onNotice(text) {
  const removed = [...joined.keys()].find((name) => text === `La sala ${name} ha sido eliminada.`);
  const room = removed ?? [...joined.keys()].find((name) => text.endsWith(` la sala ${name}.`));
  add(room ?? current, { notice: text });
  if (removed) {
    joined.get(removed).gone = true; // ya no estamos en ella
    showCurrent();
  }
  refresh();
}

function onMessage({ room, username, message }) {
  if (room !== undefined) return add(room, { username, message });
  for (const name of joined.keys()) add(name, { username: `${username}, a todos`, message });
  return undefined;
}

function notice(text) {
  add(current, { notice: text });
}

function add(room, entry) {
  const kept = joined.get(room);
  if (!kept) return;
  const stamped = { ...entry, time: new Date() };
  kept.messages.push(stamped);
  if (kept.messages.length > MAX_MESSAGES) kept.messages.shift();
  if (room === current) showMessage(stamped);
  else {
    kept.unread++;
    showRooms();
  }
}

async function send(message) {
  const data = { username: me.username, message };
  const toAll = $('to-all').checked;
  // A todos menos a quien lo manda: el propio mensaje lo pone la página.
  const ack = toAll ? await ask('shout', data) : await ask('my_event', { ...data, room: current });
  if (ack.error) return notice(`No se ha enviado: ${ack.error.message}`);
  if (toAll) add(current, { username: me.username, label: `${me.username}, a todos`, message });
  return undefined;
}

// ---- pantalla ---------------------------------------------------------------

function node(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function show(room) {
  current = room;
  for (const [name, kept] of joined) if (kept.gone && name !== room) joined.delete(name);
  const kept = joined.get(room);
  $('messages').replaceChildren();
  if (kept) {
    kept.unread = 0;
    kept.messages.forEach(showMessage);
  }
  showCurrent();
  $('text').focus();
  return refresh();
}

function showCurrent() {
  const inside = joined.has(current) && !joined.get(current).gone;
  $('room').textContent = current || 'Elige una sala';
  for (const id of ['leave', 'clear', 'text', 'send']) $(id).disabled = !inside;
}

function showMessage({ notice: text, username, label, message, time }) {
  const list = $('messages');
  if (text) {
    list.append(node('li', { className: 'notice', textContent: text }));
  } else {
    const by = node('span', { className: 'by', textContent: label ?? username });
    by.append(node('time', { dateTime: time.toISOString(), textContent: time.toLocaleTimeString('es', { hour: '2-digit', minute: '2-digit' }) }));
    list.append(node('li', { className: username === me.username ? 'said mine' : 'said' }, by, String(message)));
  }
  while (list.children.length > MAX_MESSAGES) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

function showRooms() {
  const counts = new Map(active.map(({ name, sockets }) => [name, sockets]));
  const names = [...new Set([...joined.keys(), ...counts.keys()])].sort((a, b) => a.localeCompare(b, 'es'));
  $('rooms').replaceChildren(...names.map((name) => {
    const inside = joined.has(name) && !joined.get(name).gone;
    const button = node('button', { type: 'button', onclick: () => (inside ? show(name) : join(name)) },
      node('span', { className: inside ? 'name' : 'name out', textContent: name }));
    const unread = joined.get(name)?.unread;
    if (unread) button.append(node('span', { className: 'unread', textContent: unread, title: 'mensajes nuevos' }));
    button.append(node('span', { className: 'count', textContent: counts.get(name) ?? 0, title: 'personas en la sala' }));
    button.setAttribute('aria-current', name === current);
    return node('li', {}, button);
  }));
}

function onSubmit(form, action) {
  $(form).addEventListener('submit', (event) => {
    event.preventDefault();
    action();
  });
}

onSubmit('login-form', () => {
  $('login-error').hidden = true;
  socket?.close();
  joined.clear();
  login($('username').value, $('first-room').value).catch((err) => fail(err.message));
});
onSubmit('join-form', () => {
  join($('join-room').value);
  $('join-room').value = '';
});
onSubmit('send-form', () => {
  send($('text').value);
  $('text').value = '';
});
$('leave').addEventListener('click', () => leave(current));
$('clear').addEventListener('click', () => call('POST', '/clear_room', { room: current }).catch((err) => notice(err.message)));
setInterval(() => { if (socket?.connected && !document.hidden) refresh(); }, 5000);
