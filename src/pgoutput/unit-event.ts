import { EventBase } from './event-base.js';

let unitOf: (event: UnitEvent) => number | undefined;
let endOf: (event: UnitEvent) => bigint;

/**
 * An event that ends a unit of acknowledgement: a transaction that is committed or prepared, what became of a prepared
 * one, or a message that stands alone. `stream.ack(event)` acknowledges the unit.
 */
export abstract class UnitEvent extends EventBase {
  readonly #unit: number | undefined;
  readonly #unitEndLsn: bigint;

  /** `unit` is `undefined` where an event of this kind ends none: a message inside a transaction. */
  constructor(unit: number | undefined, unitEndLsn: bigint) {
    super();
    this.#unit = unit;
    this.#unitEndLsn = unitEndLsn;
  }

  static {
    unitOf = (event) => event.#unit;
    endOf = (event) => event.#unitEndLsn;
  }
}

/**
 * Which unit of acknowledgement ends with the event, counted over the stream; `undefined` for a message inside a
 * transaction, which is acknowledged with that.
 */
export function acknowledgementUnit(event: UnitEvent): number | undefined {
  return unitOf(event);
}

/** Where the unit ends: what is acknowledged. */
export function unitEndLsn(event: UnitEvent): bigint {
  return endOf(event);
}
