import type { Socket } from 'node:net';
import { encodeCopyData } from '../protocol/copy-data.js';
import { encodeKeepalive, encodeXLogData, parseStandbyStatus } from '../protocol/replication-message.js';
import {
  COPY_BOTH,
  COPY_DONE,
  commandComplete,
  errorResponse,
  QUERY_CANCELED,
  READY_FOR_QUERY,
  type Report,
} from './backend-bytes.js';
import { slotDoesNotExist, slotIsActive } from './fake-catalog.js';
import type { FakeSlot } from './fake-slot.js';
import type { FaultWriter } from './fault-writer.js';
import { identifierList, type ReplicationCommand } from './replication-command.js';
import { takeStep } from './script-step.js';
import type { ResolvedSenderOptions } from './sender-options.js';
import type { StartRequest, WalStep } from './wal-step.js';

/** A StandbyStatusUpdate that the sender has received. */
export interface Feedback {
  /** The slot that is streamed. */
  readonly slot: string;
  /** What the client has received. */
  readonly write: bigint;
  /** What it confirms. */
  readonly flush: bigint;
  /** What it has applied. */
  readonly apply: bigint;
  /** Whether it asks for a keepalive. */
  readonly replyRequested: boolean;
}

/** What a stream needs to know of the sender. */
export interface StreamState {
  readonly options: ResolvedSenderOptions;
  onFeedback(feedback: Feedback): void;
  /** Something is wrong with the script or the fake itself, not with the client. */
  onFailure(error: unknown): void;
}

type StartCommand = Extract<ReplicationCommand, { kind: 'start' }>;

/** The connection that a stream is sent on. */
interface Receiver {
  readonly processId: number;
  readonly socket: Socket;
  readonly writer: FaultWriter;
}

const END_OF_COPY = Buffer.concat([COPY_DONE, commandComplete('COPY 0'), commandComplete('COPY 0')]);

/** The slot of that name, if it may be streamed from; else what START_REPLICATION is refused with. */
export function streamableSlot(slots: ReadonlyMap<string, FakeSlot>, name: string): FakeSlot | Report {
  const slot = slots.get(name);
  if (slot === undefined) return slotDoesNotExist(name);
  if (slot.activePid !== undefined) return slotIsActive(slot.name, slot.activePid);
  if (slot.invalidationReason !== undefined) {
    const message = `can no longer access replication slot "${slot.name}"`;
    return { sqlState: '55000', message, detail: `This slot has been invalidated: ${slot.invalidationReason}.` };
  }
  return slot;
}

/** The COPY that START_REPLICATION begins: what is sent of the WAL, and what the client says of it. */
export class SentStream {
  readonly #slot: FakeSlot;
  readonly #receiver: Receiver;
  readonly #writer: FaultWriter;
  readonly #state: StreamState;
  readonly #abort = new AbortController();
  /** How far what was sent reaches. */
  #position = 0n;

  constructor(slot: FakeSlot, receiver: Receiver, state: StreamState) {
    this.#slot = slot;
    this.#receiver = receiver;
    this.#writer = receiver.writer;
    this.#state = state;
    slot.acquire(receiver.processId);
  }

  /** Resolves when the COPY has begun; the rest is sent meanwhile. */
  async begin({ startLsn: wanted, options }: StartCommand): Promise<void> {
    const slot = this.#slot;
    if (/^(?:on|true|1)$/.test(options.two_phase ?? '')) slot.twoPhase = true;
    // A position behind the slot's is silently forwarded.
    const startLsn = wanted < slot.confirmedFlushLsn ? slot.confirmedFlushLsn : wanted;
    this.#position = startLsn;
    await this.#writer.send(COPY_BOTH);
    this.#writer.beginStream();
    const { publications } = this.#state.options;
    const missing = identifierList(options.publication_names ?? '').find((name) => !publications.includes(name));
    if (missing !== undefined) {
      // Decoding is what finds it missing, after the COPY has begun.
      await this.end(errorResponse({ sqlState: '42704', message: `publication "${missing}" does not exist` }));
      return;
    }
    void this.#play({ slot: slot.name, startLsn, options });
  }

  /** The COPY ends here, by itself or with an error; it ends once. */
  async end(last: Buffer = END_OF_COPY): Promise<void> {
    if (this.#abort.signal.aborted) return;
    this.release();
    await this.#writer.send(Buffer.concat([last, READY_FOR_QUERY]));
    this.#writer.endStream();
  }

  cancel(): void {
    void this.end(errorResponse(QUERY_CANCELED));
  }

  /** Nothing more is sent, and the slot is free. */
  release(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    this.#slot.release(this.#receiver.processId);
  }

  /** What a client may still send when the COPY is over is left out, as the server does. */
  onCopyData(payload: Buffer): void {
    if (this.#abort.signal.aborted || this.#writer.silent) return;
    const status = parseStandbyStatus(payload);
    if (status === undefined) return;
    const { write, flush, apply, replyRequested } = status;
    this.#slot.confirm(flush);
    this.#state.onFeedback({ slot: this.#slot.name, write, flush, apply, replyRequested });
    // Not waited for: a client that reads nothing now still says how far it is.
    if (replyRequested) void this.#keepalive(this.#position);
  }

  async #play(request: StartRequest): Promise<void> {
    const { signal } = this.#abort;
    const { socket } = this.#receiver;
    try {
      for await (const step of this.#state.options.wal.steps(request, signal)) {
        if (signal.aborted || socket.destroyed) return;
        await this.#take(step, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#state.onFailure(error);
      socket.destroy();
    }
  }

  async #take(step: WalStep, signal: AbortSignal): Promise<void> {
    switch (step.kind) {
      case 'wal': {
        const { walStart, serverWalEnd = walStart, serverTimeUs = 0n, data } = step;
        this.#reach(walStart);
        const payload = encodeXLogData({ walStart, serverWalEnd, serverTimeUs }, data);
        return this.#writer.send(encodeCopyData(payload), true);
      }
      case 'keepalive':
        this.#reach(step.serverWalEnd);
        return this.#keepalive(step.serverWalEnd, step.serverTimeUs, step.replyRequested);
      case 'bytes':
        this.#reach(step.walEnd ?? 0n);
        return this.#writer.send(Buffer.from(step.bytes.buffer, step.bytes.byteOffset, step.bytes.byteLength));
      case 'error':
        return this.end(errorResponse(step));
      case 'end':
        return this.end();
      default:
        if (step.kind === 'copyData') this.#reach(positionOf(step.payload));
        return takeStep(step, this.#writer, signal);
    }
  }

  #reach(position: bigint): void {
    if (position > this.#position) this.#position = position;
  }

  #keepalive(serverWalEnd: bigint, serverTimeUs = 0n, replyRequested = false): Promise<void> {
    return this.#writer.send(encodeCopyData(encodeKeepalive({ serverWalEnd, serverTimeUs, replyRequested })), true);
  }
}

/** walStart of an XLogData, serverWalEnd of a keepalive: the same place in both. */
function positionOf(payload: Uint8Array): bigint {
  if (payload.length < 9) return 0n;
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getBigUint64(1);
}
