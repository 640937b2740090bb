import { type InspectOptions, inspect } from 'node:util';
import type { JsonValue } from './event-json.js';

/** The JSON form of an event: safe for `JSON.stringify`, LSNs as `X/Y`. */
export type EventJson = { [key: string]: JsonValue | undefined };

/** Few, and most streams have none: they cost the others nothing. */
const redelivered = new WeakSet<EventBase>();

/** What every event can do. */
export abstract class EventBase {
  abstract readonly kind: string;

  /**
   * Whether it was delivered before, on an earlier connection, and is delivered again because it was not acknowledged:
   * with `retry.redeliver`. Never in the blocks of a transaction that is streamed.
   */
  get redelivered(): boolean {
    return redelivered.has(this);
  }

  /**
   * The event as a plain object that can be spread, and passed to `structuredClone` unless a column is `UNCHANGED`: no
   * symbol can be cloned.
   */
  abstract toObject(): Record<string, unknown>;
  /** The event's JSON form, one line of the command line's `jsonl`. */
  abstract toJSON(): EventJson;

  /** What `console.log` shows. */
  [inspect.custom](depth: number, options: InspectOptions, show: typeof inspect): string {
    return `${this.constructor.name} ${show(this.toObject(), { ...options, depth })}`;
  }
}

export function markRedelivered(event: EventBase): void {
  redelivered.add(event);
}
