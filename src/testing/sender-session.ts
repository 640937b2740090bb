import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Lsn } from '../lsn.js';
import { encodeCopyData } from '../protocol/copy-data.js';
import { encodeKeepalive, encodeXLogData, parseStandbyStatus } from '../protocol/replication-message.js';
import {
  COPY_BOTH,
  COPY_DONE,
  COPY_OUT,
  commandComplete,
  EMPTY_QUERY,
  errorResponse,
  noticeResponse,
  READY_FOR_QUERY,
  type Report,
  resultMessages,
} from './backend-bytes.js';
import type { BackupStep } from './backup-step.js';
import { ClientBytes, textOf } from './client-bytes.js';
import { answerSql, type CatalogAnswer, one, slotDoesNotExist } from './fake-catalog.js';
import type { FakeSlot } from './fake-slot.js';
import type { FaultPlan } from './fault-plan.js';
import { FaultWriter } from './fault-writer.js';
import { identifierList, parseReplicationCommand, type ReplicationCommand } from './replication-command.js';
import type { ResolvedSenderOptions } from './sender-options.js';
import { type SessionIdentity, startSession } from './session-start.js';
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

/** What the connections of a sender share. */
export interface SenderState {
  readonly options: ResolvedSenderOptions;
  readonly faults: FaultPlan;
  readonly slots: ReadonlyMap<string, FakeSlot>;
  readonly walSenders: number;
  createSlot(command: Extract<ReplicationCommand, { kind: 'createSlot' }>): FakeSlot | Report;
  dropSlot(name: string): Report | undefined;
  cancel(processId: number, secretKey: number): void;
  onStatement(sql: string): void;
  onFeedback(feedback: Feedback): void;
  /** Something is wrong with the script or the fake itself, not with the client. */
  onFailure(error: unknown): void;
}

interface Streaming {
  readonly slot: FakeSlot;
  readonly abort: AbortController;
}

/** One connection to a fake sender, from its first byte on. */
export class SenderSession {
  readonly processId: number;
  readonly secretKey: number;
  readonly #state: SenderState;
  readonly #socket: Socket;
  readonly #client: ClientBytes;
  readonly #writer: FaultWriter;
  #identity: SessionIdentity | undefined;
  #streaming: Streaming | undefined;
  /** While a backup is sent. */
  #backup: AbortController | undefined;
  /** How far what was sent reaches. */
  #position = 0n;

  constructor(socket: Socket, key: { readonly processId: number; readonly secretKey: number }, state: SenderState) {
    this.processId = key.processId;
    this.secretKey = key.secretKey;
    this.#state = state;
    this.#socket = socket;
    this.#client = new ClientBytes(socket);
    this.#writer = new FaultWriter(socket, state.faults, () => this.#client.freeze());
    socket.setNoDelay(true);
    // A client that hangs up is what many tests are about.
    socket.on('error', () => {});
    socket.once('close', () => this.#release());
  }

  get isWalSender(): boolean {
    return this.#identity?.isWalSender ?? false;
  }

  async run(): Promise<void> {
    try {
      this.#identity = await startSession(this.#socket, this.#client, this.#writer, this, this.#state);
      if (this.#identity !== undefined) await this.#serve(this.#identity);
    } catch (error) {
      this.#state.onFailure(error);
    } finally {
      // A connection that is silent by order stays as it is.
      if (!this.#writer.silent) this.#socket.end(() => this.#socket.destroy());
    }
  }

  /** At once, without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** What a CancelRequest does: a COPY ends with an error, and nothing else lasts. */
  cancel(): void {
    this.#backup?.abort();
    if (this.#streaming === undefined) return;
    void this.#endStream(errorResponse(CANCELED));
  }

  /** Answers until the client goes. */
  async #serve(identity: SessionIdentity): Promise<void> {
    let skipping = false;
    for (;;) {
      const message = await this.#client.message();
      if (message === undefined || message.tag === 'X') return;
      if (message.tag === 'S') {
        skipping = false;
        await this.#writer.send(READY_FOR_QUERY);
      } else if (skipping) {
        // After an error in the extended protocol everything up to Sync is left out.
      } else if (message.tag === 'Q') {
        await this.#query(textOf(message.body), identity);
      } else if (message.tag === 'd') {
        this.#onCopyData(message.body);
      } else if (message.tag === 'c' || message.tag === 'f') {
        await this.#endStream(Buffer.concat([COPY_DONE, commandComplete('COPY 0'), commandComplete('COPY 0')]));
      } else {
        skipping = true;
        const report = { sqlState: '0A000', message: 'a fake sender knows simple queries only' };
        await this.#writer.send(errorResponse(report));
      }
    }
  }

  async #query(text: string, identity: SessionIdentity): Promise<void> {
    const sql = text.trim().replace(/;$/, '');
    this.#state.onStatement(sql);
    const command = parseReplicationCommand(sql);
    if (command?.kind === 'start') {
      const refusal = await this.#startStream(command);
      if (refusal === undefined) return;
      await this.#answer({ error: refusal });
    } else if (command?.kind === 'baseBackup') {
      await this.#sendBackup(command.options);
    } else if (sql === '') {
      await this.#writer.send(EMPTY_QUERY);
    } else {
      const answer = command === undefined ? this.#runSql(sql, identity) : this.#runCommand(command, identity);
      await this.#answer(answer ?? { error: UNKNOWN_SQL });
    }
    await this.#writer.send(READY_FOR_QUERY);
  }

  async #answer(answer: CatalogAnswer): Promise<void> {
    await this.#writer.send('error' in answer ? errorResponse(answer.error) : resultMessages(answer));
  }

  #runSql(sql: string, identity: SessionIdentity): CatalogAnswer | undefined {
    const { slots, options, walSenders } = this.#state;
    const { publications, settings, wal, answerQuery } = options;
    const scripted = answerQuery(sql);
    if (scripted !== undefined) return scripted;
    return answerSql(sql, {
      slots,
      publications,
      settings,
      ...identity,
      processId: this.processId,
      walEnd: wal.endLsn,
      walSenders,
      dropSlot: (name) => this.#state.dropSlot(name),
    });
  }

  #runCommand(
    command: Exclude<ReplicationCommand, { kind: 'start' | 'baseBackup' }>,
    { database }: SessionIdentity,
  ): CatalogAnswer {
    const { systemId, timeline, wal, settings } = this.#state.options;
    switch (command.kind) {
      case 'identifySystem':
        return {
          ...one({
            systemid: systemId,
            timeline: String(timeline),
            xlogpos: Lsn.format(wal.endLsn),
            dbname: database,
          }),
          command: 'IDENTIFY_SYSTEM',
        };
      case 'createSlot': {
        const made = this.#state.createSlot(command);
        if ('sqlState' in made) return { error: made };
        return {
          ...one({
            slot_name: made.name,
            consistent_point: Lsn.format(made.confirmedFlushLsn),
            snapshot_name: command.exportsSnapshot ? '00000003-00000001-1' : null,
            output_plugin: made.plugin,
          }),
          command: 'CREATE_REPLICATION_SLOT',
        };
      }
      case 'dropSlot': {
        const error = this.#state.dropSlot(command.slot);
        return error === undefined ? { columns: [], rows: [], command: 'DROP_REPLICATION_SLOT' } : { error };
      }
      case 'show': {
        const value = settings[command.setting];
        if (value !== undefined) return { ...one({ [command.setting]: value }), command: 'SHOW' };
        return { error: { sqlState: '42704', message: 'unrecognized configuration parameter' } };
      }
      default:
        return command satisfies never;
    }
  }

  async #startStream(command: Extract<ReplicationCommand, { kind: 'start' }>): Promise<Report | undefined> {
    const { slots, options } = this.#state;
    const slot = slots.get(command.slot);
    if (slot === undefined) return slotDoesNotExist(command.slot);
    if (slot.activePid !== undefined) return slotIsActive(slot.name, slot.activePid);
    if (slot.invalidationReason !== undefined) {
      const message = `can no longer access replication slot "${slot.name}"`;
      return { sqlState: '55000', message, detail: `This slot has been invalidated: ${slot.invalidationReason}.` };
    }
    slot.acquire(this.processId);
    if (/^(?:on|true|1)$/.test(command.options.two_phase ?? '')) slot.twoPhase = true;
    const abort = new AbortController();
    this.#streaming = { slot, abort };
    let { startLsn } = command;
    // A position behind the slot's is silently forwarded.
    if (startLsn < slot.confirmedFlushLsn) startLsn = slot.confirmedFlushLsn;
    this.#position = startLsn;
    await this.#writer.send(COPY_BOTH);
    this.#writer.beginStream();
    const missing = identifierList(command.options.publication_names ?? '').find(
      (name) => !options.publications.includes(name),
    );
    if (missing !== undefined) {
      // Decoding is what finds it missing, after the COPY has begun.
      await this.#endStream(errorResponse({ sqlState: '42704', message: `publication "${missing}" does not exist` }));
      return undefined;
    }
    void this.#play({ slot: slot.name, startLsn, options: command.options }, abort.signal);
    return undefined;
  }

  async #play(request: StartRequest, signal: AbortSignal): Promise<void> {
    try {
      for await (const step of this.#state.options.wal.steps(request, signal)) {
        if (signal.aborted || this.#socket.destroyed) return;
        await this.#take(step, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#state.onFailure(error);
      this.destroy();
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
      case 'copyData':
        this.#reach(positionOf(step.payload));
        return this.#writer.send(encodeCopyData(step.payload), true);
      case 'bytes':
        this.#reach(step.walEnd ?? 0n);
        return this.#writer.send(Buffer.from(step.bytes.buffer, step.bytes.byteOffset, step.bytes.byteLength));
      case 'pause':
        await delay(step.ms, undefined, { signal });
        return;
      case 'notice':
        return this.#writer.send(noticeResponse(step));
      case 'error':
        return this.#endStream(errorResponse(step));
      case 'end':
        return this.#endStream(Buffer.concat([COPY_DONE, commandComplete('COPY 0'), commandComplete('COPY 0')]));
      case 'cut':
      case 'stall':
      case 'freeze':
        return this.#writer.stop(step.kind);
      default:
        step satisfies never;
        throw new TypeError(`${JSON.stringify((step as WalStep).kind)} is no kind of step`);
    }
  }

  async #sendBackup(options: Readonly<Record<string, string>>): Promise<void> {
    const { backup, serverVersion, systemId, timeline, settings } = this.#state.options;
    if (backup === undefined) {
      await this.#answer({ error: NO_BACKUP });
      return;
    }
    const request = {
      options,
      serverVersion: parseServerVersion(serverVersion),
      systemId,
      timeline,
      walSegmentBytes: bytesFrom(settings.wal_segment_size ?? '16MB'),
    };
    const abort = new AbortController();
    this.#backup = abort;
    try {
      for await (const step of backup.steps(request, abort.signal)) {
        if (abort.signal.aborted || this.#socket.destroyed) break;
        await this.#takeBackup(step, abort.signal);
      }
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      this.#backup = undefined;
      this.#writer.endStream();
    }
    if (abort.signal.aborted) await this.#answer({ error: CANCELED });
  }

  async #takeBackup(step: BackupStep, signal: AbortSignal): Promise<void> {
    switch (step.kind) {
      case 'bytes': {
        const bytes = Buffer.from(step.bytes);
        await this.#writer.send(bytes);
        if (bytes.equals(COPY_OUT) && !this.#writer.inStream) this.#writer.beginStream();
        return;
      }
      case 'copyData':
        return this.#writer.send(encodeCopyData(step.payload), true);
      case 'pause':
        await delay(step.ms, undefined, { signal });
        return;
      case 'notice':
        return this.#writer.send(noticeResponse(step));
      case 'error':
        return this.#writer.send(errorResponse(step));
      case 'cut':
      case 'stall':
      case 'freeze':
        return this.#writer.stop(step.kind);
      default:
        step satisfies never;
        throw new TypeError(`${JSON.stringify((step as BackupStep).kind)} is no kind of step`);
    }
  }

  #reach(position: bigint): void {
    if (position > this.#position) this.#position = position;
  }

  #keepalive(serverWalEnd: bigint, serverTimeUs = 0n, replyRequested = false): Promise<void> {
    return this.#writer.send(encodeCopyData(encodeKeepalive({ serverWalEnd, serverTimeUs, replyRequested })), true);
  }

  /** What a client may still send when the COPY is over is left out, as the server does. */
  #onCopyData(payload: Buffer): void {
    const streaming = this.#streaming;
    const status = streaming && parseStandbyStatus(payload);
    if (streaming === undefined || status === undefined || this.#writer.silent) return;
    const { write, flush, apply, replyRequested } = status;
    streaming.slot.confirm(flush);
    this.#state.onFeedback({ slot: streaming.slot.name, write, flush, apply, replyRequested });
    // Not waited for: a client that reads nothing now still says how far it is.
    if (replyRequested) void this.#keepalive(this.#position);
  }

  async #endStream(last: Buffer): Promise<void> {
    if (this.#streaming === undefined) return;
    this.#release();
    await this.#writer.send(Buffer.concat([last, READY_FOR_QUERY]));
    this.#writer.endStream();
  }

  #release(): void {
    this.#backup?.abort();
    this.#streaming?.abort.abort();
    this.#streaming?.slot.release(this.processId);
    this.#streaming = undefined;
  }
}

const UNKNOWN_SQL: Report = {
  sqlState: '42601',
  message: 'a fake sender does not know this statement; see its statements, and the option answerQuery',
};

const NO_BACKUP: Report = {
  sqlState: '0A000',
  message: 'this fake sender has no backup; see its option backup',
};

const CANCELED: Report = { sqlState: '57014', message: 'canceling statement due to user request' };

const UNITS: Readonly<Record<string, number>> = { kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };

/** A setting such as `16MB`. */
function bytesFrom(setting: string): number {
  const [, count = '', unit = ''] = /^(\d+)(kB|MB|GB)?$/.exec(setting) ?? [];
  return Number(count) * (UNITS[unit] ?? 1);
}

/** `18.4`: 180004. */
function parseServerVersion(text: string): number {
  const [major = 0, minor = 0] = text.split('.').map(Number);
  return major * 10_000 + minor;
}

export function slotIsActive(name: string, pid: number): Report {
  return { sqlState: '55006', message: `replication slot "${name}" is active for PID ${pid}` };
}

/** walStart of an XLogData, serverWalEnd of a keepalive: the same place in both. */
function positionOf(payload: Uint8Array): bigint {
  if (payload.length < 9) return 0n;
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getBigUint64(1);
}
