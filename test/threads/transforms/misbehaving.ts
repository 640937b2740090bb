import type { RowEvent } from '../../../src/pgoutput/event.js';

/** Shared memory in which the module reports: attempts at bad rows, signs of life, and whether to behave by now. */
export interface Reports {
  readonly words: Int32Array;
}

export const ATTEMPTS = 0;
export const HEARTBEATS = 1;
/** How many attempts go wrong before one goes well; 0 is all. */
export const FAILURES = 2;
/** Rows that were seen, of those that ask for it. */
export const SEEN = 3;
/** Threads that a row has ended that does so once. */
export const ENDED = 4;
export const REPORT_WORDS = 5;

/** Less than the tests' bound on time, twice that is more. */
export const SLOW_MS = 2_500;

/** Does what the row's text column says. */
export default function misbehave(event: RowEvent, { words }: Reports): unknown {
  const note = 'new' in event ? String(event.new.note) : '';
  if (note === 'seen') {
    Atomics.add(words, SEEN, 1);
    Atomics.notify(words, SEEN);
  }
  if (note === 'slow') return new Promise((resolve) => setTimeout(() => resolve(note), SLOW_MS));
  if (note === 'exit-once' && Atomics.add(words, ENDED, 1) === 0) return process.exit(24);
  if (!['throw', 'throw-text', 'reject', 'exit', 'hang', 'never', 'exhaust', 'uncaught', 'late'].includes(note))
    return note;
  const attempt = Atomics.add(words, ATTEMPTS, 1) + 1;
  const failures = Atomics.load(words, FAILURES);
  if (failures > 0 && attempt > failures) return note;
  switch (note) {
    case 'throw':
      throw new RangeError('told to throw');
    case 'throw-text':
      throw 'a string';
    case 'reject':
      return Promise.reject(new Error('told to reject'));
    case 'exit':
      return process.exit(23);
    case 'hang':
      for (;;) Atomics.add(words, HEARTBEATS, 1);
    case 'never':
      return new Promise(() => {});
    case 'uncaught':
      setTimeout(() => {
        throw new Error('told to throw outside');
      }, 0);
      return new Promise(() => {});
    case 'late':
      if (attempt === 1) throw new Error('told to fail once');
      return new Promise((resolve) => setTimeout(() => resolve(note), 200));
    default: {
      const hoard: unknown[] = [];
      for (;;) hoard.push(new Array(1000).fill(hoard.length));
    }
  }
}

/** Ticks for as long as its thread lives. */
export function ticking(event: RowEvent, { words }: Reports): unknown {
  if (event.ordinal === 0) setInterval(() => Atomics.add(words, HEARTBEATS, 1), 1);
  return event.ordinal;
}
