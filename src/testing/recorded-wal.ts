import { MessageTag } from '../pgoutput/message-tag.js';
import { UnitEnds } from '../pgoutput/unit-ends.js';
import { FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import type { RecordedTypes, Recording, RecordingHeader } from '../protocol/recording.js';
import { encodeXLogData, XLOG_DATA_HEADER_BYTES, XLOG_DATA_TAG } from '../protocol/replication-message.js';
import { pluginRequest } from './taped-transaction.js';
import type { StartRequest, WalSource, WalStep, WalSteps } from './wal-step.js';

/**
 * `messages`: one by one, without what the client has already confirmed. `bulk`: always everything, in large writes,
 * as fast as the socket takes them, for benchmarks; there are no messages to count for faults then.
 */
export type ReplayPace = 'messages' | 'bulk';

const BULK_WRITE_BYTES = 1024 * 1024;
/** Bytes of a streamed block's xid, between a message's tag and the rest. */
const XID_BYTES = 4;

/** Consecutive messages that belong to one transaction, or a message that stands alone. */
interface RecordedPart {
  readonly start: number;
  end: number;
  /** What a client that has it has confirmed; unknown for a transaction whose end was not recorded. */
  endLsn: bigint | undefined;
}

/** A recording as a source of WAL. A connection that resumes gets the relations described again that it needs. */
export class RecordedWal implements WalSource {
  readonly header: RecordingHeader;
  readonly startLsn: bigint;
  readonly endLsn: bigint;
  readonly #copyData: Buffer;
  readonly #pace: ReplayPace;
  /** Whether it holds transactions in progress. */
  readonly #isStreamed: boolean;
  readonly #parts: readonly RecordedPart[];
  readonly #writes: readonly Buffer[];

  constructor(recording: Recording, pace: ReplayPace = 'messages') {
    this.header = recording.header;
    this.#copyData = recording.copyData;
    this.#pace = pace;
    const index = new RecordingIndex(recording.copyData);
    this.#parts = index.parts;
    this.#writes = pace === 'bulk' ? wholeMessages(recording.copyData, BULK_WRITE_BYTES) : [];
    this.#isStreamed = index.isStreamed;
    this.startLsn = index.firstLsn;
    this.endLsn = index.lastLsn;
  }

  /** Those that the recording knows: all of them, whichever are asked for. */
  get types(): RecordedTypes | undefined {
    return this.header.types;
  }

  steps(request: StartRequest): WalSteps {
    // No server sends what the client did not ask for.
    if (this.#isStreamed && pluginRequest(request.options).streaming === 'off') {
      const message = 'the recording holds transactions in progress: the client must ask for streaming';
      return [{ kind: 'error', sqlState: '55000', message }];
    }
    return this.#pace === 'bulk' ? this.#bulk() : this.#messages(request.startLsn);
  }

  *#bulk(): Generator<WalStep> {
    for (const bytes of this.#writes) yield { kind: 'bytes', bytes };
    yield { kind: 'keepalive', serverWalEnd: this.endLsn };
  }

  *#messages(startLsn: bigint): Generator<WalStep> {
    const described = new Set<number>();
    /** The descriptions that this connection was not sent, by relation. */
    const left = new Map<number, Buffer>();
    for (const part of this.#parts) {
      const skipped = part.endLsn !== undefined && part.endLsn <= startLsn;
      let streamed = false;
      for (const payload of payloads(this.#copyData, part.start, part.end)) {
        const data = dataOf(payload);
        const tag = data?.[0];
        if (tag === MessageTag.streamStart) streamed = true;
        else if (tag === MessageTag.streamStop) streamed = false;
        if (data !== undefined && tag === MessageTag.relation) {
          const id = data.readUInt32BE(streamed ? 1 + XID_BYTES : 1);
          if (skipped) left.set(id, streamed ? withoutXid(data) : data);
          else described.add(id);
        }
        if (skipped) continue;
        for (const id of data === undefined ? [] : relationsOf(data, streamed)) {
          const relation = left.get(id);
          if (relation === undefined || described.has(id)) continue;
          described.add(id);
          yield relationStep(streamed && data !== undefined ? withXid(relation, data.readUInt32BE(1)) : relation);
        }
        yield { kind: 'copyData', payload };
      }
    }
    yield { kind: 'keepalive', serverWalEnd: this.endLsn };
  }
}

/** Cuts a recording into parts, and knows where each ends in the WAL. */
class RecordingIndex {
  readonly parts: RecordedPart[] = [];
  firstLsn = 0n;
  lastLsn = 0n;
  isStreamed = false;
  /** Blocks of streamed transactions whose end has not come, by xid. */
  readonly #inProgress = new Map<number, RecordedPart[]>();
  readonly #unitEnds = new UnitEnds();

  constructor(copyData: Buffer) {
    let open: RecordedPart | undefined;
    let at = 0;
    for (const payload of payloads(copyData, 0, copyData.length)) {
      const end = at + FRAME_HEADER_BYTES + payload.length;
      const position = payload.readBigUInt64BE(1);
      if (this.firstLsn === 0n) this.firstLsn = position;
      if (position > this.lastLsn) this.lastLsn = position;
      const part = open ?? { start: at, end, endLsn: undefined };
      if (open === undefined) this.parts.push(part);
      part.end = end;
      const data = dataOf(payload);
      open = data === undefined ? this.#afterKeepalive(part, open, position) : this.#after(part, data, position);
      at = end;
    }
  }

  #afterKeepalive(part: RecordedPart, open: RecordedPart | undefined, position: bigint): RecordedPart | undefined {
    if (open === undefined) part.endLsn = position;
    return open;
  }

  /** The part that goes on after this message, if it does. */
  #after(part: RecordedPart, data: Buffer, position: bigint): RecordedPart | undefined {
    const endLsn = this.#unitEnds.after(data);
    switch (data[0]) {
      case MessageTag.streamStart: {
        this.isStreamed = true;
        const xid = data.readUInt32BE(1);
        const blocks = this.#inProgress.get(xid);
        if (blocks === undefined) this.#inProgress.set(xid, [part]);
        else blocks.push(part);
        return part;
      }
      case MessageTag.streamStop:
        return undefined;
      case MessageTag.streamAbort: {
        const xid = data.readUInt32BE(1);
        const isWhole = data.readUInt32BE(5) === xid;
        if (isWhole) return this.#end(part, position, xid);
        // That of a subtransaction goes with the blocks.
        this.#inProgress.get(xid)?.push(part);
        return undefined;
      }
      case MessageTag.streamCommit:
        return this.#end(part, endLsn, data.readUInt32BE(1));
      case MessageTag.streamPrepare:
        // flags:Int8 prepareLsn:Int64 endLsn:Int64 prepareTime:Int64 xid:Int32
        return this.#end(part, endLsn, data.readUInt32BE(26));
      default:
        // A message that stands alone can come inside a block, which goes on.
        return endLsn === undefined || this.#unitEnds.inStreamedBlock ? part : this.#end(part, endLsn);
    }
  }

  #end(part: RecordedPart, endLsn: bigint | undefined, xid?: number): undefined {
    part.endLsn = endLsn;
    if (endLsn !== undefined && endLsn > this.lastLsn) this.lastLsn = endLsn;
    if (xid === undefined) return;
    for (const block of this.#inProgress.get(xid) ?? []) block.endLsn = endLsn;
    this.#inProgress.delete(xid);
  }
}

/** Cuts between messages, because an answer to the client may come between two writes. */
function wholeMessages(copyData: Buffer, targetBytes: number): Buffer[] {
  const pieces: Buffer[] = [];
  let start = 0;
  let end = 0;
  for (const payload of payloads(copyData, 0, copyData.length)) {
    end += FRAME_HEADER_BYTES + payload.length;
    if (end - start < targetBytes && end < copyData.length) continue;
    pieces.push(copyData.subarray(start, end));
    start = end;
  }
  return pieces;
}

function* payloads(copyData: Buffer, start: number, end: number): Generator<Buffer> {
  for (let at = start; at < end; ) {
    const next = at + 1 + copyData.readUInt32BE(at + 1);
    yield copyData.subarray(at + FRAME_HEADER_BYTES, next);
    at = next;
  }
}

/** The pgoutput message of an XLogData; `undefined` for a keepalive. */
function dataOf(payload: Buffer): Buffer | undefined {
  return payload[0] === XLOG_DATA_TAG ? payload.subarray(XLOG_DATA_HEADER_BYTES) : undefined;
}

/** The relations that a change names. */
function relationsOf(data: Buffer, streamed: boolean): number[] {
  const at = streamed ? 1 + XID_BYTES : 1;
  switch (data[0]) {
    case MessageTag.insert:
    case MessageTag.update:
    case MessageTag.delete:
      return [data.readUInt32BE(at)];
    case MessageTag.truncate: {
      const count = data.readUInt32BE(at);
      return Array.from({ length: count }, (_, index) => data.readUInt32BE(at + 5 + index * 4));
    }
    default:
      return [];
  }
}

function relationStep(data: Buffer): WalStep {
  const header = { walStart: 0n, serverWalEnd: 0n, serverTimeUs: 0n };
  return { kind: 'copyData', payload: encodeXLogData(header, data) };
}

function withoutXid(data: Buffer): Buffer {
  return Buffer.concat([data.subarray(0, 1), data.subarray(1 + XID_BYTES)]);
}

function withXid(data: Buffer, xid: number): Buffer {
  const bytes = Buffer.alloc(XID_BYTES);
  bytes.writeUInt32BE(xid);
  return Buffer.concat([data.subarray(0, 1), bytes, data.subarray(1)]);
}
