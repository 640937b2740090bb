import { pgParser } from './pg-parser.js';
import type { DeferredParsers } from './type-rules.js';

/** Server text that a function of the user's turns into a value when the row is read. */
export class DeferredFunction {
  readonly index: number;
  readonly text: string;

  constructor(index: number, text: string) {
    this.index = index;
    this.text = text;
  }
}

/** Server text that node-postgres' parser of the type turns into a value when the row is read. */
export class DeferredPg {
  readonly typeOid: number;
  readonly text: string;

  constructor(typeOid: number, text: string) {
    this.typeOid = typeOid;
    this.text = text;
  }
}

/** A value of a user's module, still packed. */
export class DeferredValue {
  readonly packed: Buffer;

  constructor(packed: Buffer) {
    this.packed = packed;
  }
}

/** The value with everything in it parsed; arrays and objects are changed in place. */
export function resolveDeferred(value: unknown, parsers: DeferredParsers): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (value instanceof DeferredFunction) return parsers.functions[value.index](value.text);
  if (value instanceof DeferredPg) return pgParser(value.typeOid)(value.text);
  if (value instanceof DeferredValue) return parsers.unpack(value.packed);
  for (const key of Object.keys(value)) {
    const part: unknown = Reflect.get(value, key);
    const resolved = resolveDeferred(part, parsers);
    // The key exists: defining keeps one named __proto__ from setting a prototype.
    if (resolved !== part) Reflect.defineProperty(value, key, { value: resolved });
  }
  return value;
}
