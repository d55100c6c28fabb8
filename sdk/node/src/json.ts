/** A value that JSON can hold. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/**
 * The value as JSON holds it: without what JSON.stringify leaves out, and with what toJSON methods
 * return. Throws a `TypeError` if JSON can't hold it.
 * @internal
 */
export function toJson(value: unknown): JsonValue {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError('the value is nothing that JSON can hold');
  return JSON.parse(text);
}

/** What toJson makes of the value, or undefined if there is none. @internal */
export function toOptionalJson(value: unknown): JsonValue | undefined {
  return value === undefined ? undefined : toJson(value);
}
