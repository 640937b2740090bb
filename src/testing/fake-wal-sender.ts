import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { ConfigurationError, ProtocolError } from '../errors.js';
import { parseRecording } from '../protocol/recording.js';
import { formatServerVersion } from '../protocol/server-version.js';
import type { Report } from './backend-bytes.js';
import { slotDoesNotExist, slotIsActive } from './fake-catalog.js';
import { FakeSlot } from './fake-slot.js';
import type { Fault } from './fault.js';
import { FaultPlan } from './fault-plan.js';
import { RecordedWal, type ReplayPace } from './recorded-wal.js';
import type { ReplicationCommand } from './replication-command.js';
import { type FakeWalSenderOptions, type ResolvedSenderOptions, resolveSenderOptions } from './sender-options.js';
import { SenderSession, type SenderState } from './sender-session.js';
import type { Feedback } from './sent-stream.js';

const FIRST_PROCESS_ID = 1000;
/** The oldest are dropped beyond. */
const MAX_FEEDBACK_KEPT = 100_000;
const MAX_STATEMENTS_KEPT = 10_000;

/** How a recording is replayed; the rest is as in {@link FakeWalSenderOptions}. */
export interface ReplayOptions extends Omit<FakeWalSenderOptions, 'wal' | 'backup'> {
  /** Default `messages`. */
  readonly pace?: ReplayPace;
}

/**
 * A server that speaks just enough of PostgreSQL for clients of logical replication: start-up, TLS, authentication,
 * IDENTIFY_SYSTEM, slots, START_REPLICATION and feedback; and of base backups: BASE_BACKUP. It sends what a
 * {@link WalTape}, a recording, a {@link FakeBackup} or a script gives it, and goes wrong when told to. One process, no
 * files; gone with `await using`.
 *
 * A slot remembers what was confirmed, so that the next connection goes on from there. SQL that it does not know gets
 * an error 42601.
 */
export class FakeWalSender implements AsyncDisposable {
  readonly #options: ResolvedSenderOptions;
  readonly #server: Server;
  readonly #faults = new FaultPlan();
  readonly #slots = new Map<string, FakeSlot>();
  readonly #sessions = new Set<SenderSession>();
  readonly #feedback: Feedback[] = [];
  readonly #statements: string[] = [];
  readonly #failures: unknown[] = [];
  #port = 0;
  #nextProcessId = FIRST_PROCESS_ID;
  #connections = 0;
  #closed: Promise<void> | undefined;

  /** @throws ConfigurationError that names the option at fault; what `listen(2)` has against the address */
  static async listen(options: FakeWalSenderOptions): Promise<FakeWalSender> {
    const sender = new FakeWalSender(resolveSenderOptions(options));
    await sender.#listen();
    return sender;
  }

  /**
   * Sends what `pg-walstream stream --record` has written to a file. What is not given comes from the recording: the
   * server's version, its system identifier, the database, the publications and the slot.
   *
   * @throws ConfigurationError when the file is no recording or not a whole one
   */
  static async fromRecording(path: string, options: ReplayOptions = {}): Promise<FakeWalSender> {
    const { pace, ...rest } = options;
    const wal = await readRecording(path, pace);
    const { serverVersion, systemId, timeline, database, slot, publications } = wal.header;
    return FakeWalSender.listen({
      serverVersion: formatServerVersion(serverVersion),
      systemId,
      timeline,
      database,
      slots: [slot],
      publications,
      ...rest,
      wal,
    });
  }

  private constructor(options: ResolvedSenderOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    for (const fault of options.faults) this.#faults.order(fault);
    for (const slot of options.slots) {
      const { database, wal } = options;
      if (this.#slots.has(slot.name)) throw new ConfigurationError('slots has a name twice', { option: 'slots' });
      this.#slots.set(slot.name, new FakeSlot(slot, { database, startLsn: wal.startLsn }));
    }
  }

  /** The one that it listens on. */
  get port(): number {
    return this.#port;
  }

  /** The address, or the folder of the Unix socket. */
  get host(): string {
    return this.#options.socketDirectory ?? '127.0.0.1';
  }

  /** For any client; with TLS it says `sslmode=require`. More parameters go to its end, or replace those. */
  connectionString(parameters: Readonly<Record<string, string>> = {}): string {
    const { user, password, database, tls, socketDirectory } = this.#options;
    const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`;
    const who = `${encodeURIComponent(user)}${secret}`;
    const where = socketDirectory === undefined ? `${this.host}:${this.#port}` : '';
    const query = new URLSearchParams({
      ...(socketDirectory !== undefined && { host: socketDirectory, port: String(this.#port) }),
      ...(tls !== undefined && { sslmode: 'require' }),
      ...parameters,
    }).toString();
    const url = `postgresql://${who}@${where}/${encodeURIComponent(database)}`;
    // A plus sign means a space in forms only.
    return query === '' ? url : `${url}?${query.replaceAll('+', '%20')}`;
  }

  /** The slot as it is now; `undefined` when there is none. */
  slot(name: string): FakeSlot | undefined {
    return this.#slots.get(name);
  }

  /** The StandbyStatusUpdates received, in order; the last 100,000. */
  get feedback(): readonly Feedback[] {
    return this.#feedback;
  }

  /** The statements and commands received, in order; the last 10,000. */
  get statements(): readonly string[] {
    return this.#statements;
  }

  /** How many connections were made so far, refused ones included. */
  get connections(): number {
    return this.#connections;
  }

  /** From now on; {@link ConfigurationError} for what is no fault. */
  order(fault: Fault): void {
    this.#faults.order(fault);
  }

  /** What was ordered and has not happened yet is called off. */
  clearFaults(): void {
    this.#faults.clear();
  }

  /** Cuts every connection there is, as an administrator or a crash does. */
  cutConnections(): void {
    for (const session of this.#sessions) session.destroy();
  }

  /** @throws what a script threw, or what the sender itself came to grief over */
  async close(): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
    const [failure] = this.#failures.splice(0);
    if (failure !== undefined) throw failure;
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cutConnections();
    await closed;
  }

  async #listen(): Promise<void> {
    const { socketDirectory, port } = this.#options;
    const server = this.#server;
    if (socketDirectory === undefined) server.listen(port, '127.0.0.1');
    else server.listen(join(socketDirectory, `.s.PGSQL.${port}`));
    await once(server, 'listening');
    const address = server.address();
    this.#port = typeof address === 'object' && address !== null ? address.port : port;
  }

  #accept(socket: Socket): void {
    this.#connections++;
    if (this.#faults.takeRefusal('at-once') !== undefined) {
      socket.destroy();
      return;
    }
    const key = { processId: this.#nextProcessId++, secretKey: randomInt(1, 2 ** 31) };
    const session = new SenderSession(socket, key, this.#state());
    this.#sessions.add(session);
    socket.once('close', () => {
      this.#sessions.delete(session);
      for (const slot of this.#slots.values()) {
        if (this.#temporary.get(slot) === session.processId) this.#slots.delete(slot.name);
      }
    });
    void session.run();
  }

  /** Temporary slots, and the process that each ends with. */
  readonly #temporary = new Map<FakeSlot, number>();

  #state(): SenderState {
    const processId = this.#nextProcessId - 1;
    const sessions = this.#sessions;
    return {
      options: this.#options,
      faults: this.#faults,
      slots: this.#slots,
      get walSenders() {
        return [...sessions].filter((session) => session.isWalSender).length;
      },
      createSlot: (command) => this.#createSlot(command, processId),
      dropSlot: (name) => this.#dropSlot(name),
      cancel: (pid, secretKey) => {
        for (const session of sessions) {
          if (session.processId === pid && session.secretKey === secretKey) session.cancel();
        }
      },
      onStatement: (sql) => keep(this.#statements, sql, MAX_STATEMENTS_KEPT),
      onFeedback: (feedback) => keep(this.#feedback, feedback, MAX_FEEDBACK_KEPT),
      onFailure: (error) => {
        this.#failures.push(error);
      },
    };
  }

  #createSlot(command: Extract<ReplicationCommand, { kind: 'createSlot' }>, processId: number): FakeSlot | Report {
    const { slot: name, plugin, temporary, twoPhase, failover } = command;
    if (this.#slots.has(name)) {
      return { sqlState: '42710', message: `replication slot "${name}" already exists` };
    }
    // What was before is not in it.
    const { database, wal } = this.#options;
    const options = { name, plugin, temporary, twoPhase, failover };
    const slot = new FakeSlot(options, { database, startLsn: wal.endLsn });
    if (temporary) this.#temporary.set(slot, processId);
    this.#slots.set(name, slot);
    return slot;
  }

  #dropSlot(name: string): Report | undefined {
    const slot = this.#slots.get(name);
    if (slot === undefined) return slotDoesNotExist(name);
    if (slot.activePid !== undefined) return slotIsActive(name, slot.activePid);
    this.#slots.delete(name);
    return undefined;
  }
}

/** A recording of `pg-walstream stream --record`, whole in memory; {@link ConfigurationError} when it is none. */
async function readRecording(path: string, pace: ReplayPace | undefined): Promise<RecordedWal> {
  try {
    return new RecordedWal(parseRecording(await readFile(path)), pace);
  } catch (cause) {
    const why = cause instanceof ProtocolError ? cause.message : 'it cannot be read as a recording';
    throw new ConfigurationError(`${path}: ${why}`, { option: 'recording', cause });
  }
}

function keep<T>(list: T[], item: T, limit: number): void {
  if (list.length >= limit) list.shift();
  list.push(item);
}
