import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { WalStream, type WalStreamOptions } from '../../src/index.js';
import { TcpProxy } from '../stream/tcp-proxy.js';
import type { Random } from '../support/workload.js';
import { SOAK_PUBLICATION } from './soak-schema.js';
import { UnitCheck } from './unit-check.js';
import { type SoakUnit, UnitCollector } from './unit-collector.js';

export const LIVENESS_TIMEOUT_MS = 2_000;
/** Units that a consumer with manual acknowledgement holds. */
const MAX_HELD = 50;
const MIB = 1024 * 1024;

type Style = 'events' | 'batches' | 'transactions';

/** How one stream is consumed. */
interface Way {
  readonly style: Style;
  readonly options: Partial<WalStreamOptions>;
  readonly text: string;
}

/** A slot of its own, and one stream after the other from it, each consumed in another way. */
export class SoakConsumer {
  readonly slot: string;
  readonly check = new UnitCheck();
  readonly proxy: TcpProxy;
  /** How many workers are to end in the middle of a change. */
  readonly kills = new Int32Array(new SharedArrayBuffer(4));
  readonly #random: Random;
  readonly #onBroken: (error: unknown) => void;
  /** Pause after each unit. */
  slowMs = 0;
  streams = 0;
  reconnects = 0;
  workerRestarts = 0;
  #way: Way | undefined;
  #stream: WalStream | undefined;
  #consuming: Promise<void> | undefined;
  /** The loop is left in the middle of what it has. */
  #leaving = false;
  #calm = false;
  #held: SoakUnit[] = [];

  static async open(
    server: EmbeddedServer,
    slot: string,
    random: Random,
    scope: { after(end: () => void): void },
    onBroken: (error: unknown) => void,
  ): Promise<SoakConsumer> {
    return new SoakConsumer(await TcpProxy.open(scope, () => server.port), slot, random, onBroken);
  }

  private constructor(proxy: TcpProxy, slot: string, random: Random, onBroken: (error: unknown) => void) {
    this.proxy = proxy;
    this.slot = slot;
    this.#random = random;
    this.#onBroken = onBroken;
  }

  /** What it is doing, for a report. */
  get description(): string {
    return `${this.slot} (${this.#way?.text ?? 'stopped'})`;
  }

  get transforms(): boolean {
    return this.#stream !== undefined && this.#way?.options.transform !== undefined;
  }

  /** A stream in a way of its own, unless there is one. */
  start(): void {
    if (this.#stream !== undefined) return;
    const way = this.#chooseWay();
    this.#way = way;
    this.#leaving = false;
    this.#held = [];
    this.check.begin();
    this.streams++;
    const stream = new WalStream({
      connection: this.proxy.connectionString(),
      slot: this.slot,
      publications: SOAK_PUBLICATION,
      messages: true,
      livenessTimeoutMs: LIVENESS_TIMEOUT_MS,
      feedbackIntervalMs: 100,
      retry: { minDelayMs: 10, maxDelayMs: 500 },
      ...way.options,
    });
    this.#stream = stream;
    this.#consuming = this.#consume(stream, way).catch((error) => {
      if (this.#stream === stream) this.#onBroken(error);
    });
  }

  /** Ends the stream in one of the ways to do so. */
  async stop(): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined) return;
    const how = this.#random.pick(['drain', 'at once', 'leave'] as const);
    if (how === 'leave') this.#leaving = true;
    // A loop that waits for something is not left.
    if (how === 'leave') await Promise.race([this.#consuming, sleep(500)]);
    await stream.stop({ drain: how === 'drain' ? 'transaction' : 'none', timeoutMs: 1_000 });
    await this.#consuming;
    const { reconnects, workerRestarts } = stream.stats();
    this.reconnects += reconnects;
    this.workerRestarts += workerRestarts;
    this.#stream = undefined;
  }

  /** Acknowledges everything as it comes, until it is called with `false`. */
  calm(calm: boolean): void {
    this.#calm = calm;
    if (calm) this.#acknowledgeHeld();
  }

  stats(): string {
    const stats = this.#stream?.stats();
    if (stats === undefined) return 'no stream';
    const { connected, reconnects, receivedLsn, flushedLsn, inFlightBytes } = stats;
    return `connected ${connected}, reconnects ${reconnects}, received ${receivedLsn}, flushed ${flushedLsn}, in flight ${inFlightBytes}, applied ${this.check.appliedLsn}`;
  }

  #chooseWay(): Way {
    const random = this.#random;
    const style = random.pick<Style>(['events', 'batches', 'transactions']);
    const options = {
      streaming: random.pick(['off', 'on'] as const),
      binary: random.chance(0.5),
      ack: random.pick(['auto', 'manual'] as const),
      workers: random.integer(1, 3),
      maxInFlightBytes: random.pick([MIB, 16 * MIB]),
      spill: { memoryBytes: random.pick([64 * 1024, 32 * MIB]) },
      ...(random.chance(0.4) && {
        transform: {
          module: new URL('./row-change.js', import.meta.url),
          export: 'transform',
          options: { kills: this.kills },
        },
      }),
    };
    const { streaming, binary, ack, workers } = options;
    const text = `${style}, ack ${ack}, workers ${workers}, streaming ${streaming}${binary ? ', binary' : ''}${options.transform === undefined ? '' : ', transform'}`;
    return { style, options, text };
  }

  async #consume(stream: WalStream, { style, options }: Way): Promise<void> {
    const collector = new UnitCollector();
    const manual = options.ack === 'manual';
    switch (style) {
      case 'events':
        for await (const event of stream) {
          const unit = collector.take(event);
          if (unit !== undefined) await this.#take(stream, unit, manual);
          if (this.#leaving) break;
          if (!manual) this.check.acknowledgeAll();
        }
        return;
      case 'batches':
        for await (const batch of stream.batches()) {
          for (const event of batch) {
            const unit = collector.take(event);
            if (unit !== undefined) await this.#take(stream, unit, manual);
            if (this.#leaving) break;
          }
          if (this.#leaving) break;
          if (!manual) this.check.acknowledgeAll();
        }
        return;
      case 'transactions':
        for await (const item of stream.transactions()) {
          const unit = await collector.takeItem(item);
          if (unit !== undefined) await this.#take(stream, unit, manual);
          if (this.#leaving) break;
          if (!manual) this.check.acknowledgeAll();
        }
        return;
      default:
        style satisfies never;
    }
  }

  async #take(stream: WalStream, unit: SoakUnit, manual: boolean): Promise<void> {
    this.check.take(unit);
    if (this.slowMs > 0) await sleep(this.slowMs);
    if (!manual) return;
    this.#held.push(unit);
    const random = this.#random;
    if (this.#calm) {
      this.#acknowledgeHeld();
    } else if (this.#held.length > MAX_HELD) {
      const { endLsn } = this.#held[random.integer(0, this.#held.length - 1)] as SoakUnit;
      this.#acknowledgeUpTo(stream, endLsn);
    } else if (random.chance(0.3)) {
      // In any order.
      const [picked] = this.#held.splice(random.integer(0, this.#held.length - 1), 1);
      if (picked !== undefined) this.#acknowledge(stream, picked);
    }
  }

  #acknowledge(stream: WalStream, { item, endLsn }: SoakUnit): void {
    this.check.acknowledge(endLsn);
    stream.ack(item);
  }

  #acknowledgeUpTo(stream: WalStream, lsn: bigint): void {
    for (const { endLsn } of this.#held) if (endLsn <= lsn) this.check.acknowledge(endLsn);
    this.#held = this.#held.filter(({ endLsn }) => endLsn > lsn);
    stream.ack(lsn);
  }

  #acknowledgeHeld(): void {
    const stream = this.#stream;
    if (stream !== undefined) for (const unit of this.#held.splice(0)) this.#acknowledge(stream, unit);
  }
}
