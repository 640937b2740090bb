import { flag, oneOf, plainObject, refuseUnknown, text, wrong } from '../errors/option-checks.js';
import { quoteSlotName } from '../protocol/quoting.js';

/** Which slot to stream from, and what to do when it is not there. */
export interface SlotOptions {
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** `never` (default): a missing slot is an error. `if-missing`: it is created when the stream starts. */
  readonly create?: 'never' | 'if-missing';
  /** Create it for this connection only: it is gone, with its position, when the connection is. */
  readonly temporary?: boolean;
  /** Create it so that it is synchronized to standbys (PostgreSQL 17+). */
  readonly failover?: boolean;
}

const KNOWN_SLOT_OPTIONS = new Set(['name', 'create', 'temporary', 'failover']);

export function slotFrom(slot: string | SlotOptions): Required<SlotOptions> {
  const given: SlotOptions =
    typeof slot === 'string' ? { name: slot } : plainObject(slot, 'slot', 'a slot name, or an object with a name');
  refuseUnknown(given, KNOWN_SLOT_OPTIONS, 'slot.');
  quoteSlotName(text(given.name, 'slot.name'), 'slot.name');
  const create = oneOf(given.create, 'slot.create', ['never', 'if-missing'] as const, 'never');
  const temporary = flag(given.temporary, 'slot.temporary');
  if (temporary && create === 'never') {
    throw wrong('slot.temporary', "a temporary slot lives as long as its connection: slot.create must be 'if-missing'");
  }
  return { name: given.name, create, temporary, failover: flag(given.failover, 'slot.failover') };
}
