// Where a text stops being JSON. Browsers' own messages differ, and not all of them name the place.

// Fault is the first place at which a text isn't JSON, and what would have been right there.
export interface Fault {
  offset: number;
  line: number; // from 1
  column: number; // from 1
  what: 'value' | 'comma' | 'colon' | 'name' | 'string' | 'number' | 'end' | 'deep';
}

const DEEPEST = 500; // as the broker
const WORD = /true|false|null/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])/y;
// eslint-disable-next-line no-control-regex
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;
const SPACE = /[ \t\r\n]*/y;

// jsonFault returns the first fault of a text, or undefined if the text is JSON.
export function jsonFault(text: string): Fault | undefined {
  const scanner = new Scanner(text);
  const what = scanner.document();
  if (!what) return undefined;
  const before = text.slice(0, scanner.at).split('\n');
  return { offset: scanner.at, line: before.length, column: (before.at(-1) ?? '').length + 1, what };
}

class Scanner {
  at = 0;

  constructor(private text: string) {}

  document(): Fault['what'] | undefined {
    const fault = this.value(0);
    if (fault) return fault;
    this.take(SPACE);
    return this.at < this.text.length ? 'end' : undefined;
  }

  private value(depth: number): Fault['what'] | undefined {
    this.take(SPACE);
    const first = this.text[this.at];
    if (depth > DEEPEST) return 'deep';
    if (first === '[') return this.list(']', () => this.value(depth + 1));
    if (first === '{') return this.list('}', () => this.member(depth + 1));
    if (first === '"') return this.take(STRING) ? undefined : 'string';
    if (first !== undefined && /[-\d]/.test(first)) return this.take(NUMBER) ? undefined : 'number';
    return this.take(WORD) ? undefined : 'value';
  }

  // list reads the elements of an array or an object, up to the bracket that closes it.
  private list(close: string, element: () => Fault['what'] | undefined): Fault['what'] | undefined {
    this.at++;
    this.take(SPACE);
    if (this.text[this.at] === close) return this.step();
    for (;;) {
      const fault = element();
      if (fault) return fault;
      this.take(SPACE);
      const next = this.text[this.at];
      if (next === close) return this.step();
      if (next !== ',') return 'comma';
      this.at++;
    }
  }

  private member(depth: number): Fault['what'] | undefined {
    this.take(SPACE);
    if (this.text[this.at] !== '"') return 'name';
    if (!this.take(STRING)) return 'string';
    this.take(SPACE);
    if (this.text[this.at] !== ':') return 'colon';
    this.at++;
    return this.value(depth);
  }

  private step(): undefined {
    this.at++;
    return undefined;
  }

  // take moves past what matches here, and says whether anything does.
  private take(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) return false;
    this.at += found[0].length;
    return true;
  }
}
