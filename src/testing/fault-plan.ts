import { type ByteFault, checkFault, type Fault, type RefuseFault, type SliceFault } from './fault.js';

/** The faults that were ordered and have not happened yet. */
export class FaultPlan {
  readonly #refusals: { readonly fault: RefuseFault; left: number; readonly until: number }[] = [];
  readonly #byteFaults = new Set<ByteFault>();
  #slice: SliceFault | undefined;

  /** @throws ConfigurationError */
  order(fault: Fault): void {
    checkFault(fault);
    if (fault.kind === 'slice') {
      this.#slice = fault;
    } else if (fault.kind === 'refuse') {
      const { times, forMs } = fault;
      const left = times ?? (forMs === undefined ? 1 : Number.POSITIVE_INFINITY);
      const until = forMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + forMs;
      this.#refusals.push({ fault, left, until });
    } else {
      this.#byteFaults.add(fault);
    }
  }

  /** Everything that was ordered is called off. */
  clear(): void {
    this.#refusals.length = 0;
    this.#byteFaults.clear();
    this.#slice = undefined;
  }

  get slice(): SliceFault | undefined {
    return this.#slice;
  }

  /** Those that still wait for their place in a stream or a connection. */
  get byteFaults(): ReadonlySet<ByteFault> {
    return this.#byteFaults;
  }

  happened(fault: ByteFault): void {
    this.#byteFaults.delete(fault);
  }

  /** What a connection that comes now is refused by; counts as one time. */
  takeRefusal(wanted: 'at-once' | 'at-startup'): RefuseFault | undefined {
    const now = performance.now();
    for (const refusal of [...this.#refusals]) {
      if (refusal.left <= 0 || now >= refusal.until) this.#refusals.splice(this.#refusals.indexOf(refusal), 1);
    }
    const next = this.#refusals.find(({ fault }) => (fault.sqlState === undefined) === (wanted === 'at-once'));
    if (next === undefined) return undefined;
    next.left--;
    return next.fault;
  }
}
