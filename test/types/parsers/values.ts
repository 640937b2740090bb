import { threadId } from 'node:worker_threads';
import type { RowEvent } from '../../../src/pgoutput/event.js';

/** Which thread parsed it, and what. */
export default function parse(text: string): unknown {
  return { thread: threadId, text };
}

export function parts(text: string): unknown {
  return { list: [1, text, null], big: 2n ** 62n, at: new Date(0), bytes: Buffer.from(text), 64: 100 };
}

export function secret(text: string): unknown {
  if (text.includes('secret')) throw new RangeError(`cannot take ${text}`);
  return text.length;
}

export async function late(text: string): Promise<string> {
  return text;
}

/** A transform: the column `value`. */
export function columnValue(event: RowEvent): unknown {
  return event.kind === 'delete' ? undefined : event.new.value;
}
