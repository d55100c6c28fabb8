// The forms that a call has beside REST: a message of gRPC and a command line.

/** Leaves out what is empty: the broker takes its default, and the commands stay short. */
export function compactObject<T extends object>(fields: T): T {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '' && value !== false && !(Array.isArray(value) && value.length === 0));
  return Object.fromEntries(kept) as T;
}

// The arguments of a command. Flags are written as one word each, and names that begin with a dash
// come after two dashes.
export function cli(command: string, names: readonly string[] = [], flags: readonly string[] = []): string[] {
  return [...command.split(' '), ...flags, ...(names.some((name) => name.startsWith('-')) ? ['--'] : []), ...names];
}

export const flag = (name: string, value: string | undefined) => (value ? [`--${name}=${value}`] : []);
export const flagFor = (name: string, values: readonly string[] = []) => values.map((value) => `--${name}=${value}`);
export const namespaceFlag = (namespace: string | undefined) => flag('namespace', namespace === '/' ? '' : namespace);
export const otherNamespace = (namespace: string) => (namespace === '/' ? undefined : namespace);
