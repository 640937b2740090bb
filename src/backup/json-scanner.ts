import { isUtf8 } from 'node:buffer';
import { BackupError } from '../errors.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** A path of Linux, each of its bytes escaped, is shorter. */
const MAX_STRING_BYTES = 64 * 1024;
/** Digits of 64 bits are fewer. */
const MAX_DIGITS = 32;

/**
 * A cursor over JSON that knows beforehand what it will find. Numbers stay digits and no key is dropped, where
 * `JSON.parse` rounds the one and merges the other; nothing is built but what is asked for.
 */
export class JsonScanner {
  readonly #pieces: Iterator<Buffer>;
  readonly #path: string;
  /** What is at hand; the cursor is at `#at` in it, and `#passed` bytes came before. */
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #passed = 0;

  /** The text in pieces, of which each is done with before the next is asked for; `path` names the file in errors. */
  constructor(pieces: Iterable<Buffer>, path: string) {
    this.#pieces = pieces[Symbol.iterator]();
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
    if (this.#byte(0) !== QUOTE) throw this.failure('a string is expected');
    let length = 1;
    let plain = true;
    for (let byte = this.#byte(length); byte !== QUOTE; byte = this.#byte(++length)) {
      if (byte === undefined) throw this.failure('a string has no end');
      if (length > MAX_STRING_BYTES) throw this.failure('a string is too long');
      if (byte === BACKSLASH) length++;
      if (byte === BACKSLASH || byte < 0x20 || byte > 0x7e) plain = false;
    }
    const start = this.#at;
    const end = start + length;
    this.#at = end + 1;
    if (plain) return this.#bytes.toString('latin1', start + 1, end);
    const literal = this.#bytes.subarray(start, end + 1);
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
    let length = 0;
    while (isDigit(this.#byte(length))) {
      length++;
      if (length > MAX_DIGITS) throw this.failure('a number is too long');
    }
    if (length === 0) throw this.failure('a non-negative integer is expected');
    const start = this.#at;
    this.#at += length;
    return this.#bytes.toString('latin1', start, this.#at);
  }

  expectEnd(): void {
    this.#skipSpace();
    if (this.#byte(0) !== undefined) throw this.failure('there is something behind the end');
  }

  failure(problem: string): BackupError {
    return new BackupError(`${this.#path}: ${problem}, at byte ${this.#passed + this.#at}`, { path: this.#path });
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.failure(`'${character}' is expected`);
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#byte(0) !== character.charCodeAt(0)) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.#byte(0);
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }

  /** So far behind the cursor; `undefined` behind the end. */
  #byte(distance: number): number | undefined {
    while (this.#at + distance >= this.#bytes.length) {
      if (!this.#extend()) return undefined;
    }
    return this.#bytes[this.#at + distance];
  }

  /** Another piece; what lies before the cursor is let go. */
  #extend(): boolean {
    const rest = Buffer.from(this.#bytes.subarray(this.#at));
    const { done, value } = this.#pieces.next();
    if (done === true) return false;
    this.#passed += this.#at;
    this.#bytes = rest.length === 0 ? value : Buffer.concat([rest, value]);
    this.#at = 0;
    return true;
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
