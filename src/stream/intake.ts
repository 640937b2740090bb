import { publicationErrorFrom } from '../catalog/publications.js';
import { slotErrorFrom } from '../catalog/slot-errors.js';
import type { ConnectionConfig } from '../connection/connection-config.js';
import type { CopyBoth } from '../connection/copy-both.js';
import { pinnedTo } from '../connection/pinned-host.js';
import type { ServerNotice } from '../connection/server-error.js';
import type { Slab } from '../connection/slab.js';
import { ConnectionError, ProtocolError, ServerError, TimeoutError } from '../errors.js';
import { maxLsn } from '../lsn.js';
import type { ResolvedStreamOptions } from '../options.js';
import { FRAME_HEADER_BYTES } from '../protocol/frame-scan.js';
import {
  encodeStandbyStatus,
  KEEPALIVE_TAG,
  parseKeepalive,
  type StandbyPositions,
  XLOG_DATA_TAG,
} from '../protocol/replication-message.js';
import { unixMsFromTimestamp } from '../protocol/timestamp.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import { AckFrontier } from './ack-frontier.js';
import { BatchCutter } from './batch-cutter.js';
import { BATCH_OVERHEAD_BYTES, batchTargetBytes, shouldCut, shouldDecodeInline, shouldRead } from './batch-policy.js';
import { ConnectionProgress, type ReceivedSoFar } from './connection-progress.js';
import type { CutBatch } from './cut-batch.js';
import { type Decoded, type DecodeMode, DecodePipeline } from './decode-pipeline.js';
import type { DeliveredMark } from './delivered-mark.js';
import { DeliveryQueue } from './delivery-queue.js';
import { standbyPositions } from './feedback.js';
import { HeldWatch } from './held-watch.js';
import { IdleAck } from './idle-ack.js';
import { LivenessClock } from './liveness-clock.js';
import type { OpenStream, StreamReceiver } from './open-stream.js';
import { stepBackUnit } from './redelivery.js';
import { RelationRegistry } from './relation-registry.js';
import type { ResumePosition } from './resume-point.js';
import { SHUTDOWN_REPLY_DELAY_MS, ShutdownWatch } from './shutdown-watch.js';
import { judgeKeepalive, type StopVerdict } from './stop-position.js';
import type { StreamReporter } from './stream-reporter.js';

/** How long the server may take to end the COPY after we did. */
const FINISH_TIMEOUT_MS = 2_000;

/**
 * The receiving half of a stream: takes what the server sends, cuts it into batches, has them decoded and queues them
 * in order; tells the server how far the consumer is; notices when the server is gone.
 */
export class Intake implements StreamReceiver {
  readonly frontier = new AckFrontier();
  readonly queue = new DeliveryQueue<Decoded>();
  readonly pipeline: DecodePipeline;
  readonly #options: ResolvedStreamOptions;
  readonly #cutter: BatchCutter;
  #copy: CopyBoth | undefined;
  /** Where the batch that is growing lies. */
  #slab: Slab | undefined;

  /** Until the consumer says what it wants, batches wait as they came. */
  #mode: DecodeMode | undefined;
  readonly #undecided: CutBatch[] = [];

  #inFlightBytes = 0;
  #batchesAhead = 0;
  #changesReceived = 0;
  #busyMs = 0;

  #stopped = false;
  #pendingEnd: { readonly error: unknown } | undefined;
  #received = 0n;
  #keepalive = 0n;
  #reported: StandbyPositions = { write: 0n, flush: 0n, apply: 0n };
  #lagMs: number | undefined;
  #lastCommitUs: bigint | undefined;

  /** What connections before this one have read. */
  #bytesBefore = 0;
  #readsBefore = 0;
  /** Decides whether the stream goes on after its connection was lost. */
  readonly #onLost: (error: unknown) => boolean;
  /** What the consumer was given, when that is to come again unless it was acknowledged. */
  readonly #delivered: DeliveredMark | undefined;
  /** Where the next connection goes on. */
  #resumeLsn = 0n;
  /** How a connection ended that was not attached yet. */
  #endedEarly: { readonly error: unknown } | undefined;
  #shutdown = new ShutdownWatch(0);
  #replyTimer: NodeJS.Timeout | undefined;
  readonly #heldWatch: HeldWatch;

  readonly #liveness: LivenessClock;
  #progress = new ConnectionProgress(this.#receivedSoFar, 0);
  #feedbackTimer: NodeJS.Timeout | undefined;
  #livenessTimer: NodeJS.Timeout | undefined;
  readonly #idleAck: IdleAck | undefined;
  readonly #reporter: StreamReporter;

  /**
   * `onLost` says whether the loss of the connection is not the end: then {@link attach} follows, or {@link end}.
   * `delivered`, when what was delivered and not acknowledged is to come again then, says what that is.
   */
  constructor(
    options: ResolvedStreamOptions,
    reporter: StreamReporter,
    onLost: (error: unknown) => boolean,
    delivered: DeliveredMark | undefined,
  ) {
    this.#options = options;
    this.#reporter = reporter;
    this.#onLost = onLost;
    this.#delivered = delivered;
    this.#heldWatch = new HeldWatch(options.connection, (host) => this.#leaveShutdown(host));
    this.#liveness = new LivenessClock(options.livenessTimeoutMs);
    this.#cutter = new BatchCutter(new RelationRegistry(), this.frontier, options.stopLsn);
    this.pipeline = new DecodePipeline(options, reporter, () => this.#catalogConfig, this.#onDecoded);
    const { beforeIdleAck } = options;
    if (beforeIdleAck !== undefined) {
      const onKept = () => {
        if (!this.#stopped) this.sendStatus(false);
      };
      this.#idleAck = new IdleAck(beforeIdleAck, onKept, (error) => this.end(error));
    }
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes + this.#cutter.pendingBytes;
  }

  get inFlightBatches(): number {
    return this.#batchesAhead;
  }

  get changesReceived(): number {
    return this.#changesReceived;
  }

  /** Time that this thread spent on what arrived. */
  get busyMs(): number {
    return this.#busyMs;
  }

  get lagMs(): number | undefined {
    return this.#lagMs;
  }

  get receivedLsn(): bigint {
    return this.#received;
  }

  get reported(): StandbyPositions {
    return this.#reported;
  }

  get copy(): CopyBoth | undefined {
    return this.#copy;
  }

  get bytesReceived(): number {
    return this.#bytesBefore + (this.#copy?.bytesRead ?? 0);
  }

  get reads(): number {
    return this.#readsBefore + (this.#copy?.reads ?? 0);
  }

  /** Where a new connection goes on. */
  get resumePosition(): ResumePosition {
    return {
      lsn: this.#resumeLsn,
      receivedLsn: this.frontier.lastReceivedLsn,
      partLsn: this.#cutter.replayLsn,
    };
  }

  /** Whether anything came since the connection was made, or it has lived for so long. */
  progressedWithin(longMs: number): boolean {
    return this.#progress.progressedWithin(longMs, this.#receivedSoFar, performance.now());
  }

  /** Of several servers the one that streams: another may know other types. */
  get #catalogConfig(): ConnectionConfig {
    const { connection } = this.#options;
    return (this.#copy && pinnedTo(connection, this.#copy.host)) ?? connection;
  }

  get #receivedSoFar(): ReceivedSoFar {
    return { lsn: this.#received, units: this.frontier.nextUnit, changes: this.#changesReceived };
  }

  /** The server streams now, from a slot that is confirmed so far. */
  attach(opened: OpenStream): void {
    const { copy, feedbackIntervalMs, walSenderTimeoutMs, confirmedFlushLsn } = opened;
    this.#copy = copy;
    const now = performance.now();
    this.#progress = new ConnectionProgress(this.#receivedSoFar, now);
    this.#shutdown = new ShutdownWatch(walSenderTimeoutMs);
    this.#reported = { write: confirmedFlushLsn, flush: confirmedFlushLsn, apply: confirmedFlushLsn };
    this.#liveness.start(now);
    // A stream that ends at a position asks where the server is, which may pass that with keepalives alone.
    const ask = this.#options.stopLsn !== undefined;
    this.#feedbackTimer = setInterval(() => this.sendStatus(ask), feedbackIntervalMs);
    if (ask) this.sendStatus(true);
    this.#livenessTimer = setInterval(() => this.#checkLiveness(), this.#liveness.intervalMs);
    this.#heldWatch.start(copy.host);
    const ended = this.#endedEarly;
    this.#endedEarly = undefined;
    if (ended !== undefined) this.onEnd(ended.error);
  }

  /**
   * The connection is gone and another will follow: what came is kept, what comes again is passed over; or the stream
   * steps back to what is not acknowledged.
   */
  #suspend(): void {
    this.#cut();
    const delivered = this.#mode === undefined ? undefined : this.#delivered;
    const taken = delivered === undefined ? this.#cutter.suspend() : this.#stepBack(delivered);
    if (taken !== undefined) this.#sendOn(taken);
    this.#resumeLsn = maxLsn(this.frontier.startOf(this.frontier.nextUnit), this.#reported.flush);
    this.#slab = undefined;
    this.#bytesBefore = this.bytesReceived;
    this.#readsBefore = this.reads;
    this.#copy = undefined;
    void this.#heldWatch.rest();
    this.#keepalive = 0n;
  }

  #stepBack(delivered: DeliveredMark): CutBatch | undefined {
    const unit = stepBackUnit(delivered.units, this.frontier.firstUnfinished, this.#options.ack);
    const taken = this.#cutter.stepBack(delivered, unit);
    delivered.stepBack();
    for (const decoded of this.queue.clear()) this.#drop(decoded);
    return taken;
  }

  /** Whether the stream has stepped back since this was received. */
  isStale(decoded: Decoded): boolean {
    return decoded.cut.generation !== this.#cutter.generation;
  }

  /** Nobody takes it any more. */
  #drop(decoded: Decoded): void {
    this.#batchesAhead--;
    this.#inFlightBytes -= decoded.cut.position.byteCount + BATCH_OVERHEAD_BYTES;
  }

  /** What the consumer wants of batches; said once. */
  decide(mode: DecodeMode): void {
    this.#mode = mode;
    for (const cut of this.#undecided.splice(0)) this.pipeline.decode(cut, mode, false);
    this.#cutIfDue(true);
  }

  /** The next batch, when there is one. */
  take(): Decoded | undefined {
    const decoded = this.queue.take();
    if (decoded !== undefined) {
      this.#batchesAhead--;
      this.#cutIfDue(true);
    }
    return decoded;
  }

  /** The consumer is through with a batch that it took. */
  finishBatch(decoded: Decoded): void {
    this.#inFlightBytes -= decoded.cut.position.byteCount + BATCH_OVERHEAD_BYTES;
    this.#regulate();
  }

  /** Ends the stream after what has been received, by an error or, `undefined`, cleanly. */
  end(error: unknown): void {
    this.#stop();
    this.#pendingEnd ??= { error };
    this.#endWhenDecoded();
  }

  /** Ends the stream now: what the consumer has not taken is dropped. */
  abort(error: unknown): void {
    this.#stop();
    this.queue.abort(error);
  }

  /** Tells the server how far the consumer is. */
  sendStatus(replyRequested: boolean): void {
    if (this.#copy?.congested) return;
    const idleAck = this.#idleAck;
    const facts = {
      received: this.#received,
      keepalive: this.#keepalive,
      acknowledged: this.frontier.lsn,
      unfinishedUnits: this.frontier.unfinished,
      inTransaction: this.#cutter.inTransaction,
      reported: this.#reported,
    };
    if (idleAck !== undefined && !this.#stopped) {
      const { flush } = standbyPositions(facts);
      if (flush > facts.acknowledged && flush > facts.reported.flush) idleAck.offer(flush);
    }
    const positions = standbyPositions(idleAck === undefined ? facts : { ...facts, keepalive: idleAck.lsn });
    if (positions.flush > facts.reported.flush) this.#reporter.acknowledged(positions.flush);
    this.#reported = positions;
    this.#copy?.send(encodeStandbyStatus(positions, Date.now(), replyRequested));
  }

  /** Final feedback, then closes connection and workers. */
  async close(): Promise<void> {
    this.#stop();
    this.#stopTimers();
    for (const cut of this.#undecided.splice(0)) cut.slab.release();
    this.sendStatus(false);
    await Promise.all([this.#copy?.finish(FINISH_TIMEOUT_MS), this.pipeline.close(), this.#heldWatch.rest()]);
  }

  learnTypes(types: readonly TypeDescriptor[]): void {
    this.pipeline.types.learn(types);
  }

  onCopyData(slab: Slab, start: number, end: number): void {
    if (this.#stopped) return;
    this.#slab = slab;
    const { bytes } = slab;
    const tag = bytes[start];
    if (tag === XLOG_DATA_TAG) {
      this.#onXLogData(bytes, start, end);
    } else if (tag === KEEPALIVE_TAG) {
      this.#onKeepalive(bytes, start, end);
    } else {
      throw new ProtocolError('a replication message of unknown type', {
        offset: start - FRAME_HEADER_BYTES,
        tag: String.fromCharCode(tag ?? 0),
      });
    }
  }

  onReadEnd(_byteCount: number, drained: boolean, busyMs: number): void {
    const startedAt = performance.now();
    this.#liveness.heard(startedAt);
    const { commitTimeUs } = this.#cutter;
    if (commitTimeUs !== undefined && commitTimeUs !== this.#lastCommitUs) {
      this.#lastCommitUs = commitTimeUs;
      this.#lagMs = Math.max(Date.now() - unixMsFromTimestamp(commitTimeUs), 0);
    }
    this.#cutIfDue(drained);
    this.#regulate();
    this.#busyMs += busyMs + performance.now() - startedAt;
  }

  onSlabEnd(): void {
    this.#cut();
  }

  onNotice(notice: ServerNotice): void {
    // PostgreSQL 18 goes on without a publication that is missing, and only says so: changes would be lost in silence.
    const error = publicationErrorFrom(notice);
    if (error !== undefined) this.end(error);
  }

  onEnd(error: unknown): void {
    this.#stopTimers();
    if (this.#stopped) return;
    const copy = this.#copy;
    if (copy === undefined) {
      this.#endedEarly = { error };
      return;
    }
    const reason = this.#endReason(error);
    const gotOn = this.#progress.gotOn(this.#receivedSoFar, this.#liveness.timeoutMs, performance.now());
    this.#liveness.connectionEnded({ gotOn, timedOut: reason instanceof TimeoutError });
    if (!this.#onLost(reason)) this.end(reason);
    else this.#suspend();
  }

  /** Without them a process whose stream has ended can exit. */
  #stopTimers(): void {
    clearInterval(this.#feedbackTimer);
    clearInterval(this.#livenessTimer);
    this.#heldWatch.stop();
    clearTimeout(this.#replyTimer);
    this.#replyTimer = undefined;
  }

  #endReason(error: unknown): unknown {
    if (error === undefined) {
      const host = this.#copy?.host ?? '';
      return new ConnectionError(`${host} ended the stream`, { host, phase: 'streaming' });
    }
    if (error instanceof ServerError) {
      return publicationErrorFrom(error) ?? slotErrorFrom(error, this.#options.slot.name);
    }
    return error;
  }

  #onXLogData(bytes: Buffer, start: number, end: number): void {
    this.#shutdown.reset();
    let verdict: StopVerdict;
    try {
      if (this.#cutter.startsAnew(bytes, start, end)) this.#cut();
      verdict = this.#cutter.add(bytes, start, end);
    } catch (error) {
      this.end(error);
      return;
    }
    if (verdict !== 'go-on') {
      this.end(undefined);
    } else if (this.#cutter.pendingBytes >= batchTargetBytes(this.#batchesAhead)) {
      this.#cut();
    }
  }

  #onKeepalive(bytes: Buffer, start: number, end: number): void {
    const { serverWalEnd, replyRequested } = parseKeepalive(bytes, start, end);
    this.#keepalive = serverWalEnd;
    if (serverWalEnd > this.#received) this.#received = serverWalEnd;
    if (replyRequested) this.#reply();
    const { stopLsn } = this.#options;
    if (stopLsn !== undefined && judgeKeepalive(serverWalEnd, this.#cutter.inTransaction, stopLsn) !== 'go-on') {
      this.end(undefined);
    }
  }

  /** At once, except to a server in shutdown: that asks again at each reply. */
  #reply(): void {
    const unfinished = this.frontier.unfinished + (this.#idleAck?.keeping ? 1 : 0);
    switch (this.#shutdown.asked(performance.now(), unfinished)) {
      case 'reply':
        this.sendStatus(false);
        return;
      case 'reply-later':
        this.#replyTimer ??= setTimeout(() => {
          this.#replyTimer = undefined;
          this.sendStatus(false);
        }, SHUTDOWN_REPLY_DELAY_MS);
        return;
      case 'leave':
        this.#leaveShutdown(this.#copy?.host ?? '');
        return;
    }
  }

  /** The server cannot stop before this connection ends. */
  #leaveShutdown(host: string): void {
    const copy = this.#copy;
    if (copy === undefined || this.#stopped) return;
    this.sendStatus(false);
    copy.destroy();
    const message = `${host} is shutting down, and waits for what is not acknowledged`;
    this.onEnd(new ConnectionError(message, { host, phase: 'streaming' }));
  }

  /** The end comes after the last batch, which may still be with a worker. */
  #endWhenDecoded(): void {
    if (this.#pendingEnd !== undefined && this.#batchesAhead === this.queue.length) {
      this.queue.end(this.#pendingEnd.error);
    }
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#heldWatch.stop();
    this.#cut();
    this.#copy?.hold();
  }

  #cutIfDue(drained: boolean): void {
    if (this.#mode === undefined) return;
    const facts = { pendingBytes: this.#cutter.pendingBytes, drained, batchesAhead: this.#batchesAhead };
    if (shouldCut(facts)) this.#cut();
  }

  #cut(): void {
    if (this.#slab === undefined) return;
    for (const cut of this.#cutter.cut(this.#slab)) this.#sendOn(cut);
  }

  #sendOn(cut: CutBatch): void {
    const { byteCount } = cut.position;
    const inline = shouldDecodeInline(byteCount, this.#batchesAhead, this.#options.transform !== undefined);
    this.#changesReceived += cut.changeCount;
    this.#received = maxLsn(this.#received, maxLsn(cut.lastLsn, this.frontier.lastReceivedLsn));
    this.#inFlightBytes += byteCount + BATCH_OVERHEAD_BYTES;
    this.#batchesAhead++;
    if (this.#mode === undefined) this.#undecided.push(cut);
    else this.pipeline.decode(cut, this.#mode, inline);
  }

  readonly #onDecoded = (decoded: Decoded): void => {
    if (this.isStale(decoded)) {
      this.#drop(decoded);
      this.#endWhenDecoded();
      return;
    }
    this.#reporter.batch(decoded.cut);
    this.queue.push(decoded);
    if (decoded.error !== undefined) {
      // Nothing may pass the gap that it leaves.
      this.#stop();
      this.queue.end(decoded.error);
    }
    this.#endWhenDecoded();
  };

  /** Reads on while the consumer keeps up. */
  #regulate(): void {
    const copy = this.#copy;
    if (copy === undefined || this.#stopped) return;
    if (shouldRead(this.inFlightBytes, this.#options.maxInFlightBytes, !copy.held)) {
      if (copy.held) {
        copy.release();
        this.#heldWatch.release();
        this.#liveness.readOn(performance.now());
      }
    } else {
      copy.hold();
      this.#heldWatch.hold();
    }
  }

  #checkLiveness(): void {
    const copy = this.#copy;
    if (copy === undefined || this.#stopped) return;
    const verdict = this.#liveness.check(performance.now(), copy.held);
    if (verdict === 'ask') {
      this.sendStatus(true);
    } else if (verdict === 'lost') {
      const { host } = copy;
      const { timeoutMs } = this.#liveness;
      copy.destroy();
      this.onEnd(
        new TimeoutError(`${host} has said nothing for ${timeoutMs} ms`, { host, phase: 'streaming', timeoutMs }),
      );
    }
  }
}
