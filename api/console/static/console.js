// The console: forms on the left, a log of everything in the middle, rooms on the
// right. Data from outside only ever becomes text, never markup.
import { Socket } from './client.js';

const MAX_LOG_LINES = 500;
const $ = (id) => document.getElementById(id);

const state = {
  key: takeKeyFromAddress(),
  origin: '', // of the broker's public listener
  path: '', // below what it serves clients
  socket: undefined,
  user: '',
  namespace: '/',
  mine: new Set(), // rooms that this client joined
};

// The key comes in the fragment, which browsers don't send to servers. It goes
// out of the address bar at once, so that it isn't bookmarked or shared.
function takeKeyFromAddress() {
  const key = new URLSearchParams(location.hash.slice(1)).get('key') ?? '';
  if (key) history.replaceState(null, '', location.pathname + location.search);
  return key;
}

// ---- the REST API -----------------------------------------------------------

class RestError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// call makes one REST call and logs it with its curl. Quiet calls are those
// that the page makes by itself.
async function call(method, path, body, { quiet = false } = {}) {
  const curl = curlFor(method, path, body);
  if (!quiet) $('curl-text').textContent = curl;
  let status = 0;
  let answer;
  try {
    const response = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${state.key}`, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    });
    status = response.status;
    answer = await response.json();
  } catch {
    answer = { message: status ? `The broker answered with status ${status} and no JSON.` : 'The broker does not answer. Is it still running?' };
    if (status < 400) status = 0;
  }
  const ok = status >= 200 && status < 300;
  if (!quiet) log(ok ? 'out' : 'bad', `${method} ${path}`, { args: [hideToken(answer)], aside: status ? `→ ${status}` : '', curl });
  if (!ok) throw new RestError(answer.message ?? `status ${status}`, status);
  return answer;
}

function curlFor(method, path, body) {
  const url = shellQuote(location.origin + path);
  const lines = [`curl ${method === 'GET' ? '' : `-X ${method} `}${url}`, '  -H "Authorization: Bearer $SALA_API_KEY"'];
  if (body) lines.push("  -H 'Content-Type: application/json'", `  -d ${shellQuote(JSON.stringify(body))}`);
  return lines.join(' \\\n');
}

function shellQuote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function hideToken(answer) {
  return answer.token ? { ...answer, token: `${answer.token.slice(0, 8)}…` } : answer;
}

// ---- connecting -------------------------------------------------------------

async function connect() {
  state.user = $('user').value;
  const namespace = $('namespace').value;
  if ($('key').value) state.key = $('key').value;
  note('');
  setStatus('off', 'Connecting…');
  $('connect').disabled = true;
  try {
    const { token } = await call('POST', '/v1/tokens', { user: state.user, ttl: '3600s', join: ['**'], publish: ['**'], broadcast: true });
    const handlers = { connect: (id) => onConnect(id, namespace), connectError: onConnectError, disconnect: onDisconnect, event: onEvent };
    state.socket = new Socket(state.origin, { path: state.path, namespace, auth: { token }, handlers });
  } catch (err) {
    if (err.status === 401) {
      state.key = ''; // ask for another
      $('key').value = '';
    }
    refused(err.message);
  }
  showConnected();
}

function onConnect(id, namespace) {
  state.namespace = namespace;
  setStatus('on', `${state.user}, connected`);
  log('note', 'connected', { aside: `as ${state.user} to ${state.namespace}, socket ${id}` });
  showConnected();
  refreshRooms();
}

function onConnectError({ message, data }) {
  state.socket = undefined;
  log('bad', 'connect_error', { args: [message, ...(data ? [data] : [])] });
  refused(message);
  showConnected();
}

function onDisconnect(reason) {
  state.socket = undefined;
  state.mine.clear();
  setStatus('off', 'Not connected');
  log('note', 'disconnected', { aside: reason });
  showConnected();
  refreshRooms();
}

function onEvent(name, args) {
  log('in', name, { args });
  if (name === 'sala:disconnect') note(`Disconnected by the server: ${args[0]?.reason || args[0]?.code}`);
  refreshRooms();
}

function refused(message) {
  setStatus('bad', 'Refused');
  note(message);
}

function showConnected() {
  const on = Boolean(state.socket?.id);
  const busy = Boolean(state.socket) && !on;
  $('connect').hidden = on;
  $('connect').disabled = busy;
  $('disconnect').hidden = !on;
  for (const id of ['user', 'namespace', 'key']) $(id).readOnly = on || busy;
  $('key-row').hidden = Boolean(state.key);
  $('key').required = !state.key;
  $('join').disabled = !on;
  showSendForm();
}

// ---- rooms ------------------------------------------------------------------

async function join(room) {
  await request('join', { room, username: state.user }, () => state.mine.add(room));
}

async function leave(room) {
  await request('leave', { room, username: state.user }, () => state.mine.delete(room));
}

// clear does what a backend would: send the members a notice, then remove them.
async function clear(room) {
  const notice = { event: 'message', args: [`The room ${room} was removed.`] };
  await call('POST', `/v1/rooms/${encodeURIComponent(room)}:clear`, { namespace: state.namespace, notice }).catch(() => {});
  state.mine.delete(room);
  refreshRooms();
}

// request emits, and logs the ack next to its event when it arrives.
async function request(event, payload, done = () => {}) {
  const line = log('out', event, { args: [payload] });
  try {
    const ack = await state.socket.request(event, payload);
    answer(line, Boolean(ack?.error), `ack ${show(ack)}`);
    if (!ack?.error) done();
  } catch (err) {
    answer(line, true, err.message);
  }
  refreshRooms();
}

let refreshing;

// refreshRooms fetches the list, at most four times a second.
function refreshRooms() {
  if (!state.key) return;
  refreshing ??= setTimeout(async () => {
    refreshing = undefined;
    try {
      showRooms(await call('GET', roomsPath(), undefined, { quiet: true }));
    } catch {
      // The user's next call will show what is wrong.
    }
  }, 250);
}

function roomsPath() {
  return `/v1/rooms?${new URLSearchParams({ namespace: state.namespace })}`;
}

// showRooms changes only what is new: a button that is replaced while the user
// presses it would lose the click.
function showRooms({ rooms = [], nextPageToken }) {
  const list = $('rooms');
  const names = new Set(rooms.map(({ name }) => name));
  const items = new Map();
  for (const item of [...list.children]) {
    if (names.has(item.dataset.room)) items.set(item.dataset.room, item);
    else item.remove();
  }
  for (const [n, { name, sockets = 0 }] of rooms.entries()) {
    const item = items.get(name) ?? roomItem(name);
    showRoom(item, name, sockets);
    if (list.children[n] !== item) list.insertBefore(item, list.children[n] ?? null);
  }
  $('rooms-empty').hidden = rooms.length > 0;
  $('rooms-more').hidden = !nextPageToken;
}

function roomItem(name) {
  const count = node('span', { className: 'count', title: 'clients in the room' }, node('span', { className: 'number' }), node('span', { className: 'hidden' }));
  const item = node('li', {}, node('span', { className: 'name', textContent: name, title: name }), count,
    roomButton('Join', name, () => (state.mine.has(name) ? leave(name) : join(name)), 'move'),
    roomButton('Clear', name, () => clear(name), 'danger'));
  item.dataset.room = name;
  return item;
}

function showRoom(item, name, sockets) {
  const mine = state.mine.has(name);
  const set = (selector, properties) => Object.assign(item.querySelector(selector), properties);
  item.dataset.mine = mine;
  set('.number', { textContent: sockets });
  set('.count .hidden', { textContent: sockets === 1 ? ' client' : ' clients' });
  set('.move', { hidden: !state.socket?.id });
  set('.move .label', { textContent: mine ? 'Leave' : 'Join' });
}

function roomButton(label, room, onclick, extra) {
  return node('button', { type: 'button', className: `quiet ${extra}`, onclick },
    node('span', { className: 'label', textContent: label }), node('span', { className: 'hidden', textContent: ` ${room}` }));
}

// ---- sending ----------------------------------------------------------------

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

function showSendForm() {
  const client = chosen('via') === 'client';
  const room = chosen('to') === 'room';
  const event = $('event');
  if (client) event.value = room ? 'my_event' : 'shout';
  else if (event.readOnly) event.value = 'news';
  event.readOnly = client;
  $('send-room-row').hidden = !room;
  $('send-room').required = room;
  $('send').disabled = client ? !state.socket?.id : !state.key;
  $('send-hint').textContent = client
    ? `The broker's relay rules turn ${event.value} into my_response, for ${room ? 'everyone in the room' : 'everyone but this client'}.`
    : `A backend calls POST ${room ? '/v1/emit' : '/v1/broadcast'} with an API key.`;
}

async function send() {
  const argument = parseArgument($('message').value);
  const room = chosen('to') === 'room' ? $('send-room').value : undefined;
  const event = $('event').value;
  if (chosen('via') === 'client') {
    const fields = typeof argument === 'object' && argument !== null && !Array.isArray(argument) ? argument : { message: argument };
    await request(event, room === undefined ? fields : { ...fields, room });
    return;
  }
  const target = { ...(state.namespace !== '/' && { namespace: state.namespace }), ...(room !== undefined && { rooms: [room] }) };
  await call('POST', room === undefined ? '/v1/broadcast' : '/v1/emit', { ...target, event, args: [argument] }).catch(() => {});
}

// parseArgument returns the JSON value of a text, or the text itself if it isn't JSON.
function parseArgument(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// ---- showing ----------------------------------------------------------------

function node(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const ARROWS = { in: ['←', 'received'], out: ['→', 'sent'], bad: ['×', 'failed'], note: ['·', ''] };

// log adds a line and returns it: kind is in, out, bad or note.
function log(kind, title, { args = [], aside = '', curl } = {}) {
  const now = new Date();
  const body = node('div', {}, node('b', { textContent: title }));
  if (aside) body.append(node('span', { className: 'aside', textContent: ` ${aside}` }));
  if (args.length) body.append(node('code', { textContent: args.map(show).join(', ') }));
  if (curl) body.append(node('details', {}, node('summary', { textContent: 'curl' }), node('pre', { textContent: curl })));
  const item = node('li', {},
    node('time', { dateTime: now.toISOString(), textContent: now.toLocaleTimeString([], { hour12: false }) }),
    node('span', { className: 'arrow' }),
    body);
  mark(item, kind);
  grow(() => {
    $('log').append(item);
    while ($('log').children.length > MAX_LOG_LINES) $('log').firstChild.remove();
  });
  $('log-empty').hidden = true;
  return item;
}

// answer appends the result to a line.
function answer(item, failed, text) {
  if (failed) mark(item, 'bad');
  grow(() => item.lastChild.append(node('code', { className: 'aside', textContent: text })));
}

function mark(item, kind) {
  const [arrow, word] = ARROWS[kind];
  item.dataset.kind = kind;
  item.querySelector('.arrow').replaceChildren(node('span', { textContent: arrow, ariaHidden: 'true' }), node('span', { className: 'hidden', textContent: word }));
}

// grow changes the log and keeps its end in view, unless the user has scrolled up.
function grow(change) {
  const list = $('log');
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  change();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

// show is JSON with binary data cut down to its size.
function show(value) {
  return JSON.stringify(value, (_, item) => (item instanceof Uint8Array ? `<${item.length} bytes>` : item)) ?? 'nothing';
}

function setStatus(kind, text) {
  $('status').dataset.state = kind;
  $('status').textContent = text;
}

function note(text) {
  $('connect-note').textContent = text;
  $('connect-note').hidden = !text;
}

function stockSnippet() {
  const path = state.path === '/socket.io/' ? '' : `path: "${state.path}", `;
  return `import { io } from "socket.io-client";

const socket = io("${state.origin}", { ${path}auth: { token } });
socket.on("connect", () => {
  socket.emit("join", { room: "lobby", username: "ada" });
  socket.emit("my_event", { room: "lobby", message: "Hello, room!" });
});
socket.on("my_response", (data) => console.log(data));
socket.on("connect_error", (err) => console.error(err.message, err.data));`;
}

// ---- start ------------------------------------------------------------------

function onSubmit(form, action) {
  $(form).addEventListener('submit', (event) => {
    event.preventDefault();
    action();
  });
}

async function start() {
  const { publicPort, publicTLS, path, version } = await (await fetch('/console.json')).json();
  state.origin = `${publicTLS ? 'https' : 'http'}://${location.hostname}:${publicPort}`;
  state.path = path;
  $('version').textContent = version;
  $('stock-text').textContent = stockSnippet();
  $('curl-text').textContent = curlFor('GET', roomsPath());

  onSubmit('connect-form', connect);
  onSubmit('join-form', () => join($('join-room').value));
  onSubmit('send-form', send);
  $('disconnect').addEventListener('click', () => state.socket?.close());
  $('refresh').addEventListener('click', async () => {
    const page = await call('GET', roomsPath()).catch(() => undefined);
    if (page) showRooms(page);
  });
  $('clear-log').addEventListener('click', () => {
    $('log').replaceChildren();
    $('log-empty').hidden = false;
  });
  for (const radio of document.querySelectorAll('input[type="radio"]')) radio.addEventListener('change', showSendForm);
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText($(button.dataset.copy).textContent);
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    });
  }
  // Other clients come and go too, so refresh regularly while the page is visible.
  setInterval(() => { if (!document.hidden) refreshRooms(); }, 3000);
  showConnected();
  refreshRooms();
}

start();
