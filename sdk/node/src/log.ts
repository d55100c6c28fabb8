import { Console } from 'node:console';

/** What a log line is about, by name. The other client libraries use the same names. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where the SDK writes its log lines: a `Console`, winston's loggers, or anything else with these methods. */
export interface Logger {
  /** A subscription is active. */
  info(message: string, fields: LogFields): void;
  /** Something is wrong for now, such as a stream that has ended. */
  warn(message: string, fields: LogFields): void;
  /** A handler has failed. */
  error(message: string, fields: LogFields): void;
}

/** Writes to standard error, since standard output is the program's. @internal */
export const STDERR: Logger = new Console(process.stderr);

/** Adds the library's name and the group to all lines. @internal */
export function logOf(logger: Logger, group: string): Logger {
  const level = (name: keyof Logger) => (message: string, fields: LogFields): void => logger[name](`sala: ${message}`, { group, ...fields });
  return { info: level('info'), warn: level('warn'), error: level('error') };
}

/** Milliseconds as log lines show them. @internal */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(3)}s`;
}
