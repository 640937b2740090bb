import type { ConnectionConfig } from '../connection/connection-config.js';
import type { ResolvedStreamOptions } from '../options.js';
import type { PackedBatch } from '../pgoutput/packed-batch.js';
import { type TranscodeResult, Transcoder } from '../pgoutput/transcoder.js';
import { WalBatch } from '../pgoutput/wal-batch.js';
import { DecodePool, type PooledBatch } from '../threads/decode-pool.js';
import type { DecodeTask, InvalidRows } from '../threads/decode-task.js';
import { readerRules } from '../threads/type-modules.js';
import { unpackValue } from '../threads/value-codec.js';
import type { CutBatch } from './cut-batch.js';
import { RawBatch } from './raw-batch.js';
import { Resequencer } from './resequencer.js';
import type { StreamReporter } from './stream-reporter.js';
import { StreamTypes } from './stream-types.js';

/** A batch ready for the consumer. */
export interface Decoded {
  readonly cut: CutBatch;
  readonly batch: WalBatch | RawBatch;
  /** What stopped the stream after the events of the batch. */
  readonly error: unknown;
}

/** What is left of a batch that could not be decoded. */
const NO_EVENTS: PackedBatch = { index: new Uint32Array(0), data: new Uint8Array(0) };

/** What the consumer wants of batches. */
export type DecodeMode = 'events' | 'raw';

/**
 * Decodes batches in workers, or at once on this thread, and gives them back in the order of the stream. A batch whose
 * types are not known yet waits for them; what is received meanwhile is bounded by the in-flight window.
 */
export class DecodePipeline {
  readonly types: StreamTypes;
  readonly #pool: DecodePool;
  readonly #transcoder: Transcoder;
  readonly #hasTransform: boolean;
  /** Whether only workers can decode: users' modules are theirs. */
  readonly #workersOnly: boolean;
  readonly #resequencer = new Resequencer<Decoded>();
  readonly #onDecoded: (decoded: Decoded) => void;
  readonly #reporter: StreamReporter;
  #inlineBatches = 0;
  #invalidRows = 0;

  /** `catalogConfig`: for a session with the server that streams. */
  constructor(
    options: ResolvedStreamOptions,
    reporter: StreamReporter,
    catalogConfig: () => ConnectionConfig,
    onDecoded: (decoded: Decoded) => void,
  ) {
    const { types, transform, validate, workers, transformTimeoutMs, livenessTimeoutMs } = options;
    const rules = readerRules(types.source, types.functions);
    this.types = new StreamTypes(catalogConfig, rules, livenessTimeoutMs, (warning) => reporter.warned(warning));
    this.#pool = new DecodePool({
      types: types.source,
      transform,
      validate,
      workers,
      timeoutMs: transformTimeoutMs,
      onFailure: (failure) => reporter.workerFailed(failure),
    });
    this.#reporter = reporter;
    this.#transcoder = new Transcoder(rules);
    this.#hasTransform = transform !== undefined;
    this.#workersOnly = this.#hasTransform || validate !== undefined || rules.callModules;
    this.#onDecoded = onDecoded;
  }

  get pool(): DecodePool {
    return this.#pool;
  }

  get inlineBatches(): number {
    return this.#inlineBatches;
  }

  /** Rows that were dropped because they are not valid. */
  get invalidRows(): number {
    return this.#invalidRows;
  }

  /** Takes the batch over, its hold on the slab included. */
  decode(cut: CutBatch, mode: DecodeMode, inline: boolean): void {
    if (mode === 'raw') {
      this.#done({ cut, batch: new RawBatch(cut), error: undefined });
      return;
    }
    const known = this.types.prepare(cut.position.relations);
    if (known === undefined) this.#decode(cut, inline);
    else void known.then(() => this.#decode(cut, inline));
  }

  async close(): Promise<void> {
    await Promise.all([this.types.close(), this.#pool.close()]);
  }

  #decode(cut: CutBatch, inline: boolean): void {
    if (inline && !this.#workersOnly) void this.#decodeInline(cut);
    else void this.#decodeInWorker(cut);
  }

  /** Waits for nothing, unless values do not fit the types that are known. */
  async #decodeInline(cut: CutBatch): Promise<void> {
    this.#inlineBatches++;
    try {
      let packed = this.#transcode(cut);
      const { mismatches } = this.types.rules;
      if (mismatches.size > 0 && !this.types.settled) {
        await this.types.refresh([...mismatches], cut.position.relations);
        packed = this.#transcode(cut);
      }
      mismatches.clear();
      this.#done({ cut, batch: new WalBatch(cut.position, packed), error: packed.error });
    } catch (error) {
      this.#failed(cut, error);
    }
  }

  #transcode(cut: CutBatch): TranscodeResult {
    return this.#transcoder.transcode({
      bytes: cut.slab.bytes,
      start: cut.start,
      end: cut.end,
      relations: cut.position.relations,
      facts: cut.facts,
    });
  }

  async #decodeInWorker(cut: CutBatch): Promise<void> {
    try {
      const packed = await this.#askWorker(cut);
      if (packed.invalidRows !== undefined) this.#refused(packed.invalidRows);
      const batch = new WalBatch(cut.position, packed, this.#hasTransform ? unpackValue : undefined);
      this.#done({ cut, batch, error: packed.error });
    } catch (error) {
      this.#failed(cut, error);
    }
  }

  /** Nothing came of the batch. */
  #failed(cut: CutBatch, error: unknown): void {
    this.#done({ cut, batch: new WalBatch(cut.position, NO_EVENTS), error });
  }

  #refused(rows: InvalidRows): void {
    this.#invalidRows += rows.count;
    this.#reporter.rowsRefused(rows);
  }

  /** A second time, when values do not fit the types that were known. */
  async #askWorker(cut: CutBatch): Promise<PooledBatch> {
    const typesAreFinal = this.types.settled;
    const reply = await this.#pool.decode(taskFrom(cut, typesAreFinal), cut.firstLsn);
    if (typesAreFinal || reply.mismatchedTypes.length === 0) return reply;
    await this.types.refresh(reply.mismatchedTypes, cut.position.relations);
    return this.#pool.decode(taskFrom(cut, true), cut.firstLsn);
  }

  #done(decoded: Decoded): void {
    decoded.cut.slab.release();
    for (const ready of this.#resequencer.push(decoded.cut.position.sequence, decoded)) this.#onDecoded(ready);
  }
}

function taskFrom(cut: CutBatch, typesAreFinal: boolean): DecodeTask {
  const { position, slab, start, end, facts, transaction } = cut;
  return {
    sequence: position.sequence,
    memory: slab.memory,
    start,
    end,
    relations: position.relations.map(({ version, message, types }) => ({ version, message, types })),
    facts,
    transaction,
    typesAreFinal,
    ordinal: position.start.ordinal,
  };
}
