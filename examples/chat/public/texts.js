// Los textos de la página, en español y en inglés. Las frases de los avisos son
// las de sala.yaml y server.mjs, que solo hablan español; aquí se reconocen.
const ES = {
  title: 'Chat en salas',
  intro: 'Escribe tu nombre y elige una sala. Si no existe, se crea al entrar.',
  name: 'Nombre',
  room: 'Sala',
  rooms: 'Salas',
  enter: 'Entrar',
  leave: 'Salir',
  remove: 'Eliminar sala',
  otherRoom: 'Otra sala',
  message: 'Mensaje',
  write: 'Escribe un mensaje',
  toAll: 'A todos',
  send: 'Enviar',
  cancel: 'Cancelar',
  connected: 'Conectado',
  offline: 'Sin conexión',
  chooseRoom: 'Elige una sala',
  unread: 'mensajes nuevos',
  people: 'personas en la sala',
  typing: (names) => (names.length === 1 ? `${names[0]} está escribiendo…` : `${names.join(', ')} están escribiendo…`),
  missing: 'Aquí faltan mensajes: había más de los que la sala recuerda.',
  noAnswer: 'no hay respuesta',
  toAllBy: (username) => `${username}, a todos`,
  entered: (username, room) => `${username} ha entrado en la sala ${room}.`,
  left: (username, room) => `${username} ha salido de la sala ${room}.`,
  removed: (room) => `La sala ${room} ha sido eliminada.`,
  confirmRemove: (room) => `¿Eliminar la sala ${room}? Todos los que están en ella salen.`,
  refused: (why) => `Sala no deja entrar: ${why}`,
  unreachable: (url) => `No hay respuesta de Sala en ${url}. ¿Está en marcha? La página lo sigue intentando.`,
  origin: (url, origin) => `Sala responde en ${url}, pero no a esta página: añade ${origin} a allowed_origins en sala.yaml.`,
  cannotEnter: (room, why) => `No puedes entrar en ${room}: ${why}`,
  notSent: (why) => `No se ha enviado: ${why}`,
  disconnected: (why) => `Te han desconectado: ${why}`,
  staleRooms: (why) => `La lista puede no estar al día: ${why}`,
};

const EN = {
  title: 'Chat in rooms',
  intro: 'Enter your name and choose a room. A room that does not exist is created.',
  name: 'Name',
  room: 'Room',
  rooms: 'Rooms',
  enter: 'Enter',
  leave: 'Leave',
  remove: 'Delete room',
  otherRoom: 'Another room',
  message: 'Message',
  write: 'Write a message',
  toAll: 'To everyone',
  send: 'Send',
  cancel: 'Cancel',
  connected: 'Connected',
  offline: 'Offline',
  chooseRoom: 'Choose a room',
  unread: 'new messages',
  people: 'people in the room',
  typing: (names) => (names.length === 1 ? `${names[0]} is typing…` : `${names.join(', ')} are typing…`),
  missing: 'Messages are missing here: there were more than the room remembers.',
  noAnswer: 'no answer',
  toAllBy: (username) => `${username}, to everyone`,
  entered: (username, room) => `${username} has entered the room ${room}.`,
  left: (username, room) => `${username} has left the room ${room}.`,
  removed: (room) => `The room ${room} has been deleted.`,
  confirmRemove: (room) => `Delete the room ${room}? Everyone in it has to leave.`,
  refused: (why) => `Sala refuses the connection: ${why}`,
  unreachable: (url) => `Sala does not answer at ${url}. Is it running? The page keeps trying.`,
  origin: (url, origin) => `Sala answers at ${url}, but not to this page: add ${origin} to allowed_origins in sala.yaml.`,
  cannotEnter: (room, why) => `You cannot enter ${room}: ${why}`,
  notSent: (why) => `Not sent: ${why}`,
  disconnected: (why) => `You have been disconnected: ${why}`,
  staleRooms: (why) => `The list may be out of date: ${why}`,
};

export const language = navigator.language.startsWith('es') ? 'es' : 'en';
export const texts = language === 'es' ? ES : EN;

// translate pone los textos en los elementos que los nombran.
export function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = texts[element.dataset.text];
  for (const element of document.querySelectorAll('[data-label]')) element.setAttribute('aria-label', texts[element.dataset.label]);
  for (const element of document.querySelectorAll('[data-placeholder]')) element.placeholder = texts[element.dataset.placeholder];
}

// readNotice dice qué cuenta un aviso, y de cuál de las salas dadas: su nombre puede
// contener cualquier cosa, así que no se busca en la frase.
export function readNotice(text, rooms) {
  for (const room of rooms) {
    if (text === ES.removed(room)) return { room, text: texts.removed(room), removed: true };
    for (const kind of ['entered', 'left']) {
      const end = ES[kind]('', room);
      if (text.endsWith(end)) return { room, text: texts[kind](text.slice(0, -end.length), room) };
    }
  }
  return { text };
}
