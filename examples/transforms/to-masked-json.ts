import { createHash } from 'node:crypto';
import type { RowEvent } from 'pg-walstream';

export interface MaskOptions {
  /** Columns whose values are replaced by a hash. */
  readonly mask: readonly string[];
}

/** Runs in the workers, on each change: a line of JSON, which arrives as `event.value`. */
export default function toMaskedJson(event: RowEvent, { mask }: MaskOptions): string {
  const json = event.toJSON();
  for (const part of ['new', 'old', 'key'] as const) {
    const row = json[part] as Record<string, unknown> | undefined;
    if (row === undefined) continue;
    for (const column of mask) if (row[column] != null) row[column] = hashOf(row[column]);
  }
  return `${JSON.stringify(json)}\n`;
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
