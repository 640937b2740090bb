import { subscribe } from 'node:diagnostics_channel';
import { type ConnectionLost, type ConnectionResumed, Lsn } from '../../src/index.js';

const MAX_LINES = 60;

/** What happened last, for the report of a failure. */
export class Chronicle {
  readonly #lines: string[] = [];
  readonly #startedAt = performance.now();

  constructor() {
    subscribe('pg-walstream:connection-lost', (message) => {
      const { slot, error, attempt } = message as ConnectionLost;
      this.add(`${slot} lost its connection, attempt ${attempt}: ${(error as Error).message}`);
    });
    subscribe('pg-walstream:connection-resumed', (message) => {
      const { slot, lsn } = message as ConnectionResumed;
      this.add(`${slot} goes on at ${Lsn.format(lsn)}`);
    });
  }

  add(line: string): void {
    this.#lines.push(`${((performance.now() - this.#startedAt) / 1_000).toFixed(3)} s: ${line}`);
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
  }

  toString(): string {
    return this.#lines.join('\n');
  }
}
