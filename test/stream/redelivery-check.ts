import assert from 'node:assert/strict';
import type { RawMessage, TransactionItem, WalEvent } from '../../src/index.js';
import { PgoutputDecoder } from '../../src/pgoutput/index.js';

/** Something that a consumer was given, by what identifies it. */
export interface Given {
  readonly key: string;
  /** Unit of acknowledgement that it belongs to. */
  readonly unit: string;
  readonly endsUnit: boolean;
  readonly redelivered: boolean;
  /** Where its unit ends, if that is here and the key's own kind says it. */
  readonly endLsn?: bigint;
}

/** What events outside of streamed blocks are identified by; `undefined` for descriptions. */
export class EventKeys {
  #unit = '';
  #messages = 0;

  of(event: WalEvent): Given | undefined {
    const { redelivered } = event;
    switch (event.kind) {
      case 'begin':
        this.#enter(`${event.commitLsn}`);
        return { key: `${this.#unit} begin`, unit: this.#unit, endsUnit: false, redelivered };
      case 'commit':
        return { key: `${this.#unit} commit`, unit: this.#unit, endsUnit: true, redelivered };
      case 'insert':
      case 'update':
      case 'delete':
      case 'truncate':
        return { key: `${event.commitLsn} ${event.ordinal}`, unit: this.#unit, endsUnit: false, redelivered };
      case 'message': {
        if (!event.transactional) return { key: `m${event.lsn}`, unit: `m${event.lsn}`, endsUnit: true, redelivered };
        const key = `${this.#unit} message ${this.#messages++}`;
        return { key, unit: this.#unit, endsUnit: false, redelivered };
      }
      case 'origin':
        return { key: `${this.#unit} origin`, unit: this.#unit, endsUnit: false, redelivered };
      default:
        return undefined;
    }
  }

  #enter(unit: string): void {
    this.#unit = unit;
    this.#messages = 0;
  }
}

/** The same of undecoded messages. */
export class RawKeys {
  readonly #decoder = new PgoutputDecoder();
  #unit = '';
  #count = 0;

  of({ data, redelivered }: RawMessage): Given | undefined {
    const message = this.#decoder.decode(data);
    switch (message.kind) {
      case 'relation':
      case 'type':
        return undefined;
      case 'begin':
        this.#unit = `${message.commitLsn}`;
        this.#count = 0;
        return { key: `${this.#unit} begin`, unit: this.#unit, endsUnit: false, redelivered };
      case 'message':
        if (!message.transactional) {
          const { lsn } = message;
          return { key: `m${lsn}`, unit: `m${lsn}`, endsUnit: true, redelivered, endLsn: lsn };
        }
        return { key: `${this.#unit} ${this.#count++}`, unit: this.#unit, endsUnit: false, redelivered };
      default:
        return {
          key: `${this.#unit} ${message.kind === 'commit' ? 'commit' : this.#count++}`,
          unit: this.#unit,
          endsUnit: message.kind === 'commit',
          redelivered,
          ...(message.kind === 'commit' && { endLsn: message.commitEndLsn }),
        };
    }
  }
}

/**
 * What `transactions()` gave: the item, and its changes before it. One without changes is nothing: it comes only if the
 * server streamed what was rolled back later.
 */
export async function itemKeys(item: TransactionItem): Promise<Given[]> {
  const { redelivered } = item;
  if (item.kind === 'message') {
    return [{ key: `m${item.lsn}`, unit: `m${item.lsn}`, endsUnit: true, redelivered }];
  }
  assert.ok(item.kind === 'transaction');
  const unit = `${item.commitLsn}`;
  const given: Given[] = [];
  for await (const change of item.changes) {
    given.push({ key: `${unit} ${given.length}`, unit, endsUnit: false, redelivered: change.redelivered });
  }
  if (given.length === 0) return given;
  given.push({ key: `${unit} transaction`, unit, endsUnit: true, redelivered });
  return given;
}

/**
 * Holds what a consumer is given against what a stream without faults gives: everything in that order, nothing left out
 * but what was acknowledged, nothing again but what was delivered and not acknowledged when the connection was lost,
 * from the beginning of its transaction, and all that marked as such.
 */
export class RedeliveryCheck {
  readonly #expected: readonly Given[];
  readonly #places = new Map<string, number>();
  readonly #delivered = new Set<string>();
  readonly #acknowledged = new Set<string>();
  /** When the connection was lost last, and when it was lost before what is given now came. */
  #acknowledgedAtLoss: ReadonlySet<string> = new Set();
  #acknowledgedBefore: ReadonlySet<string> = new Set();
  #isLost = false;
  #next = 0;
  /** Things that were delivered more than once. */
  redelivered = 0;
  stepsBack = 0;

  constructor(expected: readonly Given[]) {
    this.#expected = expected;
    for (const [place, { key }] of expected.entries()) this.#places.set(key, place);
    assert.equal(this.#places.size, expected.length, 'keys identify');
  }

  get complete(): boolean {
    return this.#next === this.#expected.length;
  }

  /** All units up to this one, too. */
  acknowledgeThrough(unit: string): void {
    for (const { unit: each, endsUnit } of this.#expected) {
      if (endsUnit) this.#acknowledged.add(each);
      if (endsUnit && each === unit) return;
    }
  }

  acknowledge(unit: string): void {
    this.#acknowledged.add(unit);
  }

  /** The connection is lost now. */
  lose(): void {
    this.#isLost = true;
    this.#acknowledgedAtLoss = new Set(this.#acknowledged);
  }

  take({ key, unit, redelivered }: Given): void {
    const place = this.#places.get(key);
    assert.ok(place !== undefined, `${key} is expected`);
    assert.equal(redelivered, this.#delivered.has(key), `${key}: redelivered says whether it was delivered before`);
    if (redelivered) this.redelivered++;
    // A consumer that has a batch goes on with it over a loss.
    if (place !== this.#next) this.#acknowledgedBefore = this.#acknowledgedAtLoss;
    assert.ok(!this.#acknowledgedBefore.has(unit), `${key} is delivered, and its unit was acknowledged`);
    let from = this.#next;
    if (place < this.#next) {
      assert.ok(this.#isLost, `${key} comes again, and no connection was lost`);
      this.#isLost = false;
      this.stepsBack++;
      from = 0;
    }
    for (let before = from; before < place; before++) {
      const { unit: other } = this.#expected[before] as Given;
      assert.ok(this.#acknowledged.has(other), `${key} comes before ${this.#expected[before]?.key}`);
      if (from === 0) assert.notEqual(other, unit, `${key} is not the beginning of its unit`);
    }
    this.#delivered.add(key);
    this.#next = place + 1;
  }
}
