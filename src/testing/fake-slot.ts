import { ConfigurationError } from '../errors.js';
import { checkSlotName } from '../protocol/quoting.js';

/** A slot that is there when the sender begins, or what a test wants to be wrong with it. */
export interface FakeSlotOptions {
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** Default: where the WAL of the sender begins. */
  readonly confirmedFlushLsn?: bigint;
  /** Default `pgoutput`. */
  readonly plugin?: string;
  /** Default: the sender's. */
  readonly database?: string;
  /** As the catalogue shows it. Default: false. */
  readonly temporary?: boolean;
  /** Created with two_phase. Default: false. */
  readonly twoPhase?: boolean;
  /** Created with failover. Default: false. */
  readonly failover?: boolean;
  /** Such as `wal_removed`: the slot is lost. */
  readonly invalidationReason?: string;
  /** A process that holds it for ever. */
  readonly activePid?: number;
}

const KNOWN_OPTIONS = new Set([
  'name',
  'confirmedFlushLsn',
  'plugin',
  'database',
  'temporary',
  'twoPhase',
  'failover',
  'invalidationReason',
  'activePid',
]);

/** A logical replication slot of a fake sender, as its catalogue shows it. */
export class FakeSlot {
  /** Unique in the sender. */
  readonly name: string;
  /** The output plugin; `WalStream` refuses any but `pgoutput`. */
  readonly plugin: string;
  /** The database that it decodes. */
  readonly database: string;
  /** Gone with the connection that created it. */
  readonly temporary: boolean;
  /** As it was created. */
  readonly failover: boolean;
  /** Why it is lost; `undefined` when it is not. */
  readonly invalidationReason: string | undefined;
  /** Becomes true when a client asks for `two_phase`, as on a server. */
  twoPhase: boolean;
  #confirmedFlushLsn: bigint;
  #activePid: number | undefined;
  readonly #waiting = new Set<{ readonly lsn: bigint; readonly resolve: () => void }>();

  /** @internal */
  constructor(options: FakeSlotOptions, defaults: { readonly database: string; readonly startLsn: bigint }) {
    for (const name of Object.keys(options)) {
      if (!KNOWN_OPTIONS.has(name)) throw new ConfigurationError(`slots: ${name} is no option`, { option: 'slots' });
    }
    checkSlotName(options.name, 'slots.name');
    const { confirmedFlushLsn = defaults.startLsn } = options;
    if (typeof confirmedFlushLsn !== 'bigint' || confirmedFlushLsn < 0n) {
      throw new ConfigurationError('slots.confirmedFlushLsn must be a bigint', { option: 'slots.confirmedFlushLsn' });
    }
    this.name = options.name;
    this.plugin = options.plugin ?? 'pgoutput';
    this.database = options.database ?? defaults.database;
    this.temporary = options.temporary ?? false;
    this.twoPhase = options.twoPhase ?? false;
    this.failover = options.failover ?? false;
    this.invalidationReason = options.invalidationReason;
    this.#confirmedFlushLsn = confirmedFlushLsn;
    this.#activePid = options.activePid;
  }

  /** What its client has confirmed; it never goes back. */
  get confirmedFlushLsn(): bigint {
    return this.#confirmedFlushLsn;
  }

  /** Of the connection that streams from it now. */
  get activePid(): number | undefined {
    return this.#activePid;
  }

  /** Resolves when everything up to `lsn` is confirmed. */
  confirmed(lsn: bigint): Promise<void> {
    if (this.#confirmedFlushLsn >= lsn) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.add({ lsn, resolve }));
  }

  /** @internal */
  confirm(lsn: bigint): void {
    if (lsn <= this.#confirmedFlushLsn) return;
    this.#confirmedFlushLsn = lsn;
    for (const waiter of this.#waiting) {
      if (waiter.lsn > lsn) continue;
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
  }

  /** @internal */
  acquire(pid: number): void {
    this.#activePid = pid;
  }

  /** @internal */
  release(pid: number): void {
    if (this.#activePid === pid) this.#activePid = undefined;
  }
}
