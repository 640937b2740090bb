import { DecodeError } from '../errors.js';
import type { PackWriter } from './pack-writer.js';

/** json in both forms, jsonb in text: parsed when the row is read, not in the worker. */
export function writeJson(source: Buffer, start: number, end: number, out: PackWriter): void {
  out.writeJson(source, start, end);
}

/** jsonb binary: a version byte 1, then the text. */
export function writeJsonbBinary(source: Buffer, start: number, end: number, out: PackWriter): void {
  if (end <= start || source[start] !== 1) {
    throw new DecodeError('jsonb has an unknown version', { offset: start });
  }
  out.writeJson(source, start + 1, end);
}
