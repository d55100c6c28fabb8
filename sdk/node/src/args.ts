/** Arguments as the broker carries them. */
export interface EncodedArgs {
  /** The text of a JSON array. */
  argsJson: string;
  /** The binary data that the array refers to. */
  attachments: Buffer[];
}

interface Placeholder {
  _placeholder: true;
  num: number;
}

/**
 * Turns the arguments of an event into JSON. Binary values (`Buffer`, typed arrays, `DataView`,
 * `ArrayBuffer`), at any depth, become attachments, as in Socket.IO.
 *
 * Throws a `TypeError` if the arguments aren't an array, refer to themselves or contain a `BigInt`.
 * @internal
 */
export function encodeArgs(args: readonly unknown[]): EncodedArgs {
  if (!Array.isArray(args)) throw new TypeError('the arguments of an event must be an array');
  const attachments: Buffer[] = [];
  const argsJson = JSON.stringify(args, function (this: Record<string, unknown>, key, value) {
    const bytes = asBytes(this[key]); // value is already what toJSON made of it
    if (!bytes) return value;
    return { _placeholder: true, num: attachments.push(bytes) - 1 } satisfies Placeholder;
  });
  return { argsJson, attachments };
}

/**
 * The reverse of encodeArgs.
 * @internal
 */
export function decodeArgs(argsJson: string, attachments: readonly Buffer[]): unknown[] {
  if (argsJson === '') return [];
  if (attachments.length === 0) return JSON.parse(argsJson);
  return JSON.parse(argsJson, (_, value) => (isPlaceholder(value) ? (attachments[value.num] ?? value) : value));
}

function asBytes(value: unknown): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value;
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? Buffer.from(value) : undefined;
}

function isPlaceholder(value: unknown): value is Placeholder {
  return typeof value === 'object' && value !== null && '_placeholder' in value && value._placeholder === true && 'num' in value && typeof value.num === 'number';
}
