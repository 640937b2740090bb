import type { ResolvedStreamOptions } from '../options.js';
import type { PackedBatch } from '../pgoutput/packed-batch.js';
import { Transcoder } from '../pgoutput/transcoder.js';
import { WalBatch } from '../pgoutput/wal-batch.js';
import { DecodePool } from '../threads/decode-pool.js';
import type { DecodeTask } from '../threads/decode-task.js';
import { unpackValue } from '../threads/value-codec.js';
import type { CutBatch } from './batch-cutter.js';
import { RawBatch } from './raw-batch.js';
import { Resequencer } from './resequencer.js';

/** A batch ready for the consumer. */
export interface Decoded {
  readonly cut: CutBatch;
  readonly batch: WalBatch | RawBatch;
  /** What stopped the stream after the events of the batch. */
  readonly error: unknown;
}

/** What is left of a batch of which nothing came back. */
const NO_EVENTS: PackedBatch = { index: new Uint32Array(0), data: new Uint8Array(0) };

/** What the consumer wants of batches. */
export type DecodeMode = 'events' | 'raw';

/** Decodes batches in workers, or at once on this thread, and gives them back in the order of the stream. */
export class DecodePipeline {
  readonly #pool: DecodePool;
  readonly #transcoder: Transcoder;
  readonly #hasTransform: boolean;
  readonly #resequencer = new Resequencer<Decoded>();
  readonly #onDecoded: (decoded: Decoded) => void;
  #inlineBatches = 0;

  constructor(options: ResolvedStreamOptions, onDecoded: (decoded: Decoded) => void) {
    const { types, transform, workers, transformTimeoutMs } = options;
    this.#pool = new DecodePool({ types, transform, workers, timeoutMs: transformTimeoutMs });
    this.#transcoder = new Transcoder(types);
    this.#hasTransform = transform !== undefined;
    this.#onDecoded = onDecoded;
  }

  get pool(): DecodePool {
    return this.#pool;
  }

  get inlineBatches(): number {
    return this.#inlineBatches;
  }

  /** Takes the batch over, its hold on the slab included. */
  decode(cut: CutBatch, mode: DecodeMode, inline: boolean): void {
    if (mode === 'raw') {
      this.#done({ cut, batch: new RawBatch(cut), error: undefined });
    } else if (inline && !this.#hasTransform) {
      this.#inlineBatches++;
      const packed = this.#transcoder.transcode({
        bytes: cut.slab.bytes,
        start: cut.start,
        end: cut.end,
        relations: cut.position.relations,
        facts: cut.facts,
      });
      this.#done({ cut, batch: new WalBatch(cut.position, packed), error: packed.error });
    } else {
      void this.#decodeInWorker(cut);
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #decodeInWorker(cut: CutBatch): Promise<void> {
    try {
      const packed = await this.#pool.decode(taskFrom(cut), cut.firstLsn);
      const batch = new WalBatch(cut.position, packed, this.#hasTransform ? unpackValue : undefined);
      this.#done({ cut, batch, error: packed.error });
    } catch (error) {
      this.#done({ cut, batch: new WalBatch(cut.position, NO_EVENTS), error });
    }
  }

  #done(decoded: Decoded): void {
    decoded.cut.slab.release();
    for (const ready of this.#resequencer.push(decoded.cut.position.sequence, decoded)) this.#onDecoded(ready);
  }
}

function taskFrom(cut: CutBatch): DecodeTask {
  const { position, slab, start, end, facts, transaction } = cut;
  return {
    sequence: position.sequence,
    memory: slab.memory,
    start,
    end,
    relations: position.relations.map(({ version, message }) => ({ version, message })),
    facts,
    transaction,
    ordinal: position.start.ordinal,
  };
}
