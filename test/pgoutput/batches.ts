import { Slab, SlabPool } from '../../src/connection/slab.js';
import type { WalEvent } from '../../src/pgoutput/event.js';
import { Transcoder, type TranscodeTask } from '../../src/pgoutput/transcoder.js';
import { acknowledgementUnit, UnitEvent } from '../../src/pgoutput/unit-event.js';
import { WalBatch } from '../../src/pgoutput/wal-batch.js';
import { COPY_DATA, scanFrames } from '../../src/protocol/frame-scan.js';
import { XLOG_DATA_TAG } from '../../src/protocol/replication-message.js';
import { AckFrontier } from '../../src/stream/ack-frontier.js';
import { BatchCutter } from '../../src/stream/batch-cutter.js';
import type { CutBatch } from '../../src/stream/cut-batch.js';
import { RelationRegistry } from '../../src/stream/relation-registry.js';
import type { StopVerdict } from '../../src/stream/stop-position.js';
import type { TypesMode } from '../../src/types/type-rules.js';

/** Bytes before the first message of a slab, so that an offset in the slab is never one in a message. */
const MARGIN = 64;

/** Whole backend messages laid into one slab, as the reader of a connection leaves them there. */
export function slabOf(frames: readonly Uint8Array[]): { slab: Slab; start: number; end: number } {
  const bytes = Buffer.concat(frames);
  const slab = new Slab(new SlabPool(), bytes.length + 2 * MARGIN);
  slab.bytes.fill(0x31);
  bytes.copy(slab.bytes, MARGIN);
  return { slab, start: MARGIN, end: MARGIN + bytes.length };
}

export interface CutStream {
  readonly batches: readonly CutBatch[];
  readonly frontier: AckFrontier;
  /** What the cutter said to each message. */
  readonly verdicts: readonly StopVerdict[];
}

/** Cuts after each message whose number `cutAfter` picks, and at the end. */
export function cutStream(
  frames: readonly Uint8Array[],
  cutAfter: (messageNumber: number) => boolean = () => false,
  stopLsn?: bigint,
): CutStream {
  const { slab, start, end } = slabOf(frames);
  const frontier = new AckFrontier();
  const cutter = new BatchCutter(new RelationRegistry(), frontier, stopLsn);
  const batches: CutBatch[] = [];
  const verdicts: StopVerdict[] = [];
  const cut = () => {
    batches.push(...cutter.cut(slab));
  };
  scanFrames(slab.bytes, start, end, end, {
    onFrame: (type, bodyStart, bodyEnd) => {
      if (type !== COPY_DATA || slab.bytes[bodyStart] !== XLOG_DATA_TAG) return;
      verdicts.push(cutter.add(slab.bytes, bodyStart, bodyEnd));
      if (cutAfter(verdicts.length - 1)) cut();
    },
  });
  cut();
  return { batches, frontier, verdicts };
}

/** What the transcoder is asked to do with a batch. */
export function taskOf(batch: CutBatch): TranscodeTask {
  return {
    bytes: batch.slab.bytes,
    start: batch.start,
    end: batch.end,
    relations: batch.position.relations,
    facts: batch.facts,
  };
}

export interface Decoded {
  readonly events: WalEvent[];
  readonly error: unknown;
}

/** Cuts, transcodes and reads everything on this thread, up to the first error. */
export function decode(
  frames: readonly Uint8Array[],
  cutAfter?: (messageNumber: number) => boolean,
  types: TypesMode = 'lossless',
): Decoded {
  const transcoder = new Transcoder(types);
  const events: WalEvent[] = [];
  for (const batch of cutStream(frames, cutAfter).batches) {
    const packed = transcoder.transcode(taskOf(batch));
    events.push(...new WalBatch(batch.position, packed));
    if (packed.error !== undefined) return { events, error: packed.error };
  }
  return { events, error: undefined };
}

/** Everything that can be seen of an event, and its unit of acknowledgement. */
export function eventFacts(event: WalEvent): Record<string, unknown> {
  const unit = event instanceof UnitEvent ? acknowledgementUnit(event)?.number : undefined;
  return { ...event.toObject(), unit };
}
