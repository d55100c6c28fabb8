/** One name, or several. */
export type Names = string | readonly string[];

/** The names as an array. @internal */
export function toArray(names: Names | undefined): string[] {
  return typeof names === 'string' ? [names] : [...(names ?? [])];
}

/**
 * Which sockets a call is for: every socket in one of the rooms, of one of the users or with one of
 * the ids, minus the excluded ones. It needs at least one room, user or socket; each list has at most
 * 1000 entries.
 */
export interface Target extends Exclusions {
  /** The rooms whose members are meant. */
  rooms?: Names;
  /** The users whose sockets are meant. */
  users?: Names;
  /** The ids of sockets that are meant. */
  sockets?: Names;
}

/** A namespace, and which of its sockets are excluded. */
export interface Exclusions {
  /** The namespace, `/` by default. */
  namespace?: string;
  /** Sockets in any of these rooms are excluded. */
  exceptRooms?: Names;
  /** Sockets of these users are excluded. */
  exceptUsers?: Names;
  /** Sockets with these ids are excluded. */
  exceptSockets?: Names;
}

/** A target as the broker takes it. @internal */
export function encodeTarget(target: Target) {
  return {
    ...encodeExclusions(target),
    rooms: toArray(target.rooms),
    users: toArray(target.users),
    sockets: toArray(target.sockets),
  };
}

/** Exclusions as the broker takes them. @internal */
export function encodeExclusions(target: Exclusions) {
  return {
    namespace: target.namespace ?? '',
    exceptRooms: toArray(target.exceptRooms),
    exceptUsers: toArray(target.exceptUsers),
    exceptSockets: toArray(target.exceptSockets),
  };
}
