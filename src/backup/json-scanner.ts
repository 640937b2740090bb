import { isUtf8 } from 'node:buffer';
import { BackupError } from '../errors.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * A cursor over JSON that knows beforehand what it will find. Numbers stay digits and no key is dropped, where
 * `JSON.parse` rounds the one and merges the other; nothing is built but what is asked for.
 */
export class JsonScanner {
  readonly #bytes: Buffer;
  readonly #path: string;
  #at = 0;

  /** `path` names the file in errors. */
  constructor(bytes: Buffer, path: string) {
    this.#bytes = bytes;
    this.#path = path;
  }

  /** Each key of the object that comes next; the caller reads its value before the next key is asked for. */
  *keys(): Generator<string, void, undefined> {
    this.#expect('{');
    if (this.#take('}')) return;
    do {
      const key = this.string();
      this.#expect(':');
      yield key;
    } while (this.#take(','));
    this.#expect('}');
  }

  /** Steps through the array that comes next; the caller reads one element at each step. */
  *elements(): Generator<void, void, undefined> {
    this.#expect('[');
    if (this.#take(']')) return;
    do yield;
    while (this.#take(','));
    this.#expect(']');
  }

  string(): string {
    this.#skipSpace();
    const bytes = this.#bytes;
    const start = this.#at;
    if (bytes[start] !== QUOTE) throw this.failure('a string is expected');
    let end = start + 1;
    let plain = true;
    for (; bytes[end] !== QUOTE; end++) {
      const byte = bytes[end];
      if (byte === undefined) throw this.failure('a string has no end');
      if (byte === BACKSLASH) end++;
      if (byte === BACKSLASH || byte < 0x20 || byte > 0x7e) plain = false;
    }
    this.#at = end + 1;
    if (plain) return bytes.toString('latin1', start + 1, end);
    const literal = bytes.subarray(start, end + 1);
    if (!isUtf8(literal)) throw this.failure('a string is not valid UTF-8');
    try {
      return JSON.parse(literal.toString()) as string;
    } catch {
      throw this.failure('a string is malformed');
    }
  }

  /** The digits of a number that is a non-negative integer. */
  digits(): string {
    this.#skipSpace();
    const start = this.#at;
    while (isDigit(this.#bytes[this.#at])) this.#at++;
    if (this.#at === start) throw this.failure('a non-negative integer is expected');
    return this.#bytes.toString('latin1', start, this.#at);
  }

  expectEnd(): void {
    this.#skipSpace();
    if (this.#at < this.#bytes.length) throw this.failure('there is something behind the end');
  }

  failure(problem: string): BackupError {
    return new BackupError(`${this.#path}: ${problem}, at byte ${this.#at}`, { path: this.#path });
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.failure(`'${character}' is expected`);
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#bytes[this.#at] !== character.charCodeAt(0)) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
