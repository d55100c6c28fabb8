// El chat del navegador, con el cliente de Socket.IO de siempre. Lo que llega de
// otros solo se muestra como texto.
import { io } from './socket.io.js';
import { language, readNotice, texts, translate } from './texts.js';

const MAX_MESSAGES = 500; // por sala
const LAST = 50; // los mensajes anteriores que se piden al entrar
const TYPING = 3000; // milisegundos que alguien sigue escribiendo desde la última vez que lo dijo
const $ = (id) => document.getElementById(id);

const me = { username: '', token: '' };
// sala -> { messages, unread, gone, position, people, typing }
const joined = new Map();
let active = []; // las salas que hay, con sus clientes
let current = ''; // la sala que se ve
let socket;
let sent = 0; // mensajes, para darles un nombre
let saidTyping = 0; // cuándo
let explained = false; // por qué no hay conexión

// ---- el backend -------------------------------------------------------------

async function call(method, path, json) {
  const response = await fetch(path, {
    method,
    headers: { 'content-type': 'application/json', ...(me.token && { authorization: `Bearer ${me.token}` }) },
    body: json && JSON.stringify(json),
  });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
  return answer;
}

// El token dura una hora. Donde ya no vale se pide otro, como al entrar.
async function renew() {
  ({ token: me.token } = await call('POST', '/login', { username: me.username }));
}

// ---- conexión ---------------------------------------------------------------

async function login(username, room) {
  me.username = username;
  await renew();
  const { url } = await call('GET', '/config');
  socket = io(url, { auth: (send) => send({ token: me.token }) });

  socket.on('connect', () => {
    $('login').hidden = true;
    $('chat').hidden = false;
    $('me').textContent = me.username;
    $('state').textContent = texts.connected;
    $('login-error').hidden = true;
    explained = false;
    // Después de un corte el servidor ya no sabe en qué salas estábamos.
    for (const name of joined.size ? [...joined.keys()] : [room]) join(name);
  });
  socket.on('disconnect', () => { $('state').textContent = texts.offline; });
  socket.on('connect_error', async (err) => {
    $('state').textContent = texts.offline;
    if (err.data?.code === 'TOKEN_EXPIRED') return comeBack();
    if (err.data) return fail(texts.refused(err.message));
    // La red, o Sala no conoce esta página; el cliente vuelve a intentarlo solo.
    if (explained) return undefined;
    explained = true;
    const why = await answers(url) ? texts.origin(url, location.origin) : texts.unreachable(url);
    return $('chat').hidden ? fail(why) : notice(why);
  });
  socket.on('sala:disconnect', ({ code, reason }) => {
    if (code === 'TOKEN_EXPIRED') socket.once('disconnect', comeBack);
    else notice(texts.disconnected(reason || code));
  });
  socket.on('message', onNotice);
  socket.on('my_response', onMessage);
  socket.on('presence', onPresence);
  socket.on('typing', onTyping);
}

// comeBack vuelve con otro token; hasta que lo haya, lo intenta otra vez.
function comeBack() {
  renew().then(() => socket.connect(), () => setTimeout(comeBack, 2000));
}

// answers dice si hay alguien en url. Qué contesta, esta página no puede leerlo.
async function answers(url) {
  try {
    await fetch(url, { mode: 'no-cors', signal: AbortSignal.timeout(5000) });
    return true;
  } catch {
    return false;
  }
}

function fail(message) {
  $('login').hidden = false;
  $('chat').hidden = true;
  $('login-error').textContent = message;
  $('login-error').hidden = false;
}

// ---- salas ------------------------------------------------------------------

function join(room) {
  // Antes de pedirlo: el propio aviso puede llegar antes que la respuesta.
  const kept = joined.get(room) ?? { messages: [], unread: 0, people: new Set(), typing: new Map() };
  kept.gone = false;
  joined.set(room, kept);
  // La primera vez, los últimos mensajes; después de un corte, los que han faltado.
  const from = kept.position ? { since: kept.position } : { last: LAST };
  // La respuesta se usa en cuanto llega, antes que los mensajes que la siguen: un await
  // la dejaría para después.
  socket.timeout(5000).emit('join', { username: me.username, room, presence: true, ...from }, (late, ack) => {
    if (late || ack.error) {
      joined.delete(room);
      return notice(texts.cannotEnter(room, late ? texts.noAnswer : ack.error.message));
    }
    remember(kept, ack);
    return show(room);
  });
}

// remember pone en su sitio lo que la sala recuerda. La posición es la del momento de
// entrar: lo que llegó después y antes de un corte vuelve a venir, y se reconoce por su id.
function remember(kept, { messages, epoch, offset, complete, users }) {
  const known = new Set(kept.messages.map(({ id }) => id));
  const earlier = messages.filter(({ event }) => event === 'my_response').map(({ args: [said] }) => entry(said))
    .filter(({ id }) => id === undefined || !known.has(id));
  if (!complete) earlier.unshift({ notice: texts.missing });
  if (!kept.position) kept.messages.unshift(...earlier);
  else kept.messages.push(...earlier);
  kept.position = { epoch, offset };
  kept.people = new Set(users.map(({ user }) => user));
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
    return { error: { message: texts.noAnswer } };
  }
}

async function refresh() {
  try {
    ({ rooms: active } = await call('GET', '/rooms'));
    $('rooms-error').hidden = true;
  } catch (err) {
    if (err.status === 401) await renew().catch(() => {}); // la próxima vez vale
    $('rooms-error').textContent = texts.staleRooms(err.message);
    $('rooms-error').hidden = false;
  }
  showRooms();
}

// ---- lo que llega -----------------------------------------------------------

// Los avisos de Sala son frases: "Ana ha entrado en la sala general."
function onNotice(said) {
  const { room, text, removed } = readNotice(said, joined.keys());
  add(room ?? current, { notice: text });
  if (removed) {
    Object.assign(joined.get(room), { gone: true, position: undefined }); // ya no estamos en ella, y no recuerda nada
    showCurrent();
  }
  refresh();
}

function onMessage(said) {
  const { room, username, message } = Object(said);
  if (room === undefined) {
    for (const name of joined.keys()) add(name, { username: texts.toAllBy(username), message });
    return;
  }
  joined.get(room)?.typing.delete(username);
  add(room, entry(said));
  showTyping();
}

// entry es un mensaje de una sala. La hora y el id los pone quien lo manda.
function entry(said) {
  const { username, message, id, at } = Object(said);
  const time = new Date(Number(at));
  return { username, message, id, time: Number.isNaN(time.valueOf()) ? new Date() : time };
}

// Alguien ha entrado con su primera pestaña, o ha salido con la última.
function onPresence({ room, user, state }) {
  const people = joined.get(room)?.people;
  if (state === 'joined') people?.add(user);
  else people?.delete(user);
  showPeople();
}

function onTyping({ room, user }) {
  const typing = joined.get(room)?.typing;
  if (!typing || user === me.username) return;
  typing.set(user, Date.now() + TYPING);
  showTyping();
  setTimeout(showTyping, TYPING + 100);
}

// Mientras se escribe, se dice de vez en cuando.
function tellTyping() {
  if ($('to-all').checked || Date.now() - saidTyping < TYPING / 2) return;
  saidTyping = Date.now();
  socket.volatile.emit('typing', { room: current });
}

function notice(text) {
  add(current, { notice: text });
}

function add(room, what) {
  const kept = joined.get(room);
  if (!kept) return;
  const stamped = { time: new Date(), ...what };
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
  const ack = toAll ? await ask('shout', data) : await ask('my_event', { ...data, room: current, id: `${socket.id}-${sent++}`, at: Date.now() });
  if (ack.error) return notice(texts.notSent(ack.error.message));
  if (toAll) add(current, { username: me.username, label: texts.toAllBy(me.username), message });
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
  $('room').textContent = current || texts.chooseRoom;
  for (const id of ['leave', 'clear', 'text', 'send']) $(id).disabled = !inside;
  showPeople();
  showTyping();
}

function showPeople() {
  const kept = joined.get(current);
  const names = kept && !kept.gone ? [...kept.people].sort((a, b) => a.localeCompare(b, language)) : [];
  $('people').textContent = names.join(', ');
}

function showTyping() {
  const kept = joined.get(current);
  const names = [];
  for (const [user, until] of kept?.typing ?? []) {
    if (until > Date.now()) names.push(user);
    else kept.typing.delete(user);
  }
  $('typing').textContent = names.length ? texts.typing(names) : '';
}

function showMessage({ notice: text, username, label, message, time }) {
  const list = $('messages');
  if (text) {
    list.append(node('li', { className: 'notice', textContent: text }));
  } else {
    const by = node('span', { className: 'by', textContent: label ?? username });
    by.append(node('time', { dateTime: time.toISOString(), textContent: time.toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' }) }));
    list.append(node('li', { className: username === me.username ? 'said mine' : 'said' }, by, String(message)));
  }
  while (list.children.length > MAX_MESSAGES) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

function showRooms() {
  const counts = new Map(active.map(({ name, sockets }) => [name, sockets]));
  const names = [...new Set([...joined.keys(), ...counts.keys()])].sort((a, b) => a.localeCompare(b, language));
  $('rooms').replaceChildren(...names.map((name) => {
    const inside = joined.has(name) && !joined.get(name).gone;
    const button = node('button', { type: 'button', onclick: () => (inside ? show(name) : join(name)) },
      node('span', { className: inside ? 'name' : 'name out', textContent: name }));
    const unread = joined.get(name)?.unread;
    if (unread) button.append(node('span', { className: 'unread', textContent: unread, title: texts.unread }));
    button.append(node('span', { className: 'count', textContent: counts.get(name) ?? 0, title: texts.people }));
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
$('text').addEventListener('input', tellTyping);
$('leave').addEventListener('click', () => leave(current));

const dialog = $('confirm');
$('clear').addEventListener('click', () => {
  dialog.dataset.room = current;
  $('confirm-text').textContent = texts.confirmRemove(current);
  dialog.showModal();
});
dialog.addEventListener('close', () => {
  const { room } = dialog.dataset;
  if (dialog.returnValue === 'yes') call('POST', '/clear_room', { room }).catch((err) => notice(err.message));
  dialog.returnValue = '';
});

// Las salas de otros no avisan, así que se pregunta por ellas; también al volver a la pestaña.
const refreshIfSeen = () => { if (socket && $('login').hidden && !document.hidden) refresh(); };
setInterval(refreshIfSeen, 2000);
document.addEventListener('visibilitychange', refreshIfSeen);
// Quien cierra la página se va. Quien pierde la conexión sigue en sus salas hasta que vuelve,
// o hasta que pasa recovery_window.
addEventListener('pagehide', () => socket?.disconnect());
addEventListener('pageshow', ({ persisted }) => { if (persisted) socket?.connect(); });
translate();
