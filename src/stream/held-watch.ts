import type { ConnectionConfig } from '../connection/connection-config.js';
import { ShutdownProbe } from './shutdown-probe.js';

/** A consumer that takes nothing for so long may keep a server from shutting down, which is asked so often. */
const CHECK_MS = 5_000;

/** Has a server of which the stream is not read for long asked whether it is in shutdown. */
export class HeldWatch {
  readonly #probe: ShutdownProbe;
  #timer: NodeJS.Timeout | undefined;
  /** Since when reading has been held without a break. */
  #heldSinceMs: number | undefined;

  /** `onShutdown`: it is. */
  constructor(config: ConnectionConfig, onShutdown: (host: string) => void) {
    this.#probe = new ShutdownProbe(config, onShutdown);
  }

  /** The server there streams now. */
  start(host: string): void {
    this.#timer = setInterval(() => this.#check(host), CHECK_MS);
  }

  /** Reading is held. */
  hold(): void {
    this.#heldSinceMs ??= performance.now();
  }

  /** Reading goes on. */
  release(): void {
    this.#heldSinceMs = undefined;
  }

  /** Nothing is checked any more; it may be later. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** The connection is gone. */
  async rest(): Promise<void> {
    this.#heldSinceMs = undefined;
    await this.#probe.rest();
  }

  #check(host: string): void {
    const since = this.#heldSinceMs;
    if (since !== undefined && performance.now() - since >= CHECK_MS) this.#probe.ask(host);
    else void this.#probe.rest();
  }
}
