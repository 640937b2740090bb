import type { AckFrontier } from './ack-frontier.js';

/**
 * The units of acknowledgement that streamed transactions ended and that are not finished. Should such a transaction come
 * again, its blocks do not say which it ended.
 */
export class StreamedUnits {
  readonly #frontier: AckFrontier;
  readonly #units = new Map<number, number>();

  constructor(frontier: AckFrontier) {
    this.#frontier = frontier;
  }

  /** The transaction ends the next unit. */
  end(xid: number): void {
    const units = this.#units;
    const { nextUnit, firstUnfinished } = this.#frontier;
    for (const [other, unit] of units) {
      if (unit >= firstUnfinished) break;
      units.delete(other);
    }
    units.delete(xid);
    units.set(xid, nextUnit);
  }

  /** Whether the transaction has ended, and its unit is finished. */
  isFinished(xid: number): boolean {
    const unit = this.#units.get(xid);
    return unit !== undefined && this.#frontier.isFinished(unit);
  }
}
