import { EventBase } from './event-base.js';

/** A unit of acknowledgement. */
export interface AckUnit {
  /** Counted over the stream. */
  readonly number: number;
  /** What counts them, one for each stream: elsewhere the number means nothing. */
  readonly counter: object;
}

let unitOf: (event: UnitEvent) => AckUnit | undefined;

/**
 * An event that ends a unit of acknowledgement: a transaction that is committed or prepared, what became of a prepared
 * one, or a message that stands alone. `stream.ack(event)` acknowledges the unit.
 */
export abstract class UnitEvent extends EventBase {
  readonly #unit: AckUnit | undefined;

  /** `unit` is `undefined` where an event of this kind ends none: a message inside a transaction. */
  constructor(unit: AckUnit | undefined) {
    super();
    this.#unit = unit;
  }

  static {
    unitOf = (event) => event.#unit;
  }
}

/**
 * The unit of acknowledgement that ends with the event; `undefined` for a message inside a transaction, which is
 * acknowledged with that.
 */
export function acknowledgementUnit(event: UnitEvent): AckUnit | undefined {
  return unitOf(event);
}
