import { Lsn } from '../lsn.js';
import { define } from '../types/own-property.js';
import { UNCHANGED } from '../types/unchanged.js';

export { define } from '../types/own-property.js';

/** A row as users see it: column values by column name. */
export type Row = Record<string, unknown>;

/** What `JSON.stringify` takes without surprises. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/**
 * JSON form of a column value: bigint as string, NaN and the infinities as strings, bytea as `\x` hex; anything else
 * is JSON already.
 */
export function jsonFromValue(value: unknown): JsonValue {
  switch (typeof value) {
    case 'bigint':
      return value.toString();
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'string':
    case 'boolean':
      return value;
    case 'object':
      if (value === null) return null;
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
      if (Array.isArray(value)) return value.map(jsonFromValue);
      if (value instanceof Date) return value.toJSON();
      return jsonFromRow(value as Row);
    default:
      return null;
  }
}

/** JSON form of a row: unchanged TOAST columns are left out. */
export function jsonFromRow(row: Row): { [key: string]: JsonValue } {
  const json: { [key: string]: JsonValue } = {};
  for (const [name, value] of Object.entries(row)) {
    if (value !== UNCHANGED) define(json, name, jsonFromValue(value));
  }
  return json;
}

/** Names of the columns whose TOAST value the server did not send. */
export function unchangedColumns(row: Row): string[] {
  return Object.keys(row).filter((name) => row[name] === UNCHANGED);
}

/** LSN as text, or `undefined` where there is none, which JSON leaves out. */
export function jsonFromLsn(lsn: bigint | undefined): string | undefined {
  return lsn === undefined ? undefined : Lsn.format(lsn);
}
