import type { Socket } from 'node:net';
import { EMPTY_QUERY, errorResponse, READY_FOR_QUERY, type Report, resultMessages } from './backend-bytes.js';
import { ClientBytes, textOf } from './client-bytes.js';
import { answerSql, type CatalogAnswer } from './fake-catalog.js';
import { answerCommand, type CommandState } from './fake-commands.js';
import type { FakeSlot } from './fake-slot.js';
import { FaultWriter } from './fault-writer.js';
import { parseReplicationCommand } from './replication-command.js';
import { sendBackup } from './sent-backup.js';
import { SentStream, type StreamState, streamableSlot } from './sent-stream.js';
import { type SessionIdentity, type StartState, startSession } from './session-start.js';

/** What the connections of a sender share. */
export interface SenderState extends StartState, CommandState, StreamState {
  readonly slots: ReadonlyMap<string, FakeSlot>;
  readonly walSenders: number;
  onStatement(sql: string): void;
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
  /** The latest; it may be over. */
  #stream: SentStream | undefined;
  /** While a backup is sent. */
  #backup: AbortController | undefined;

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
    socket.once('close', () => {
      this.#backup?.abort();
      this.#stream?.release();
    });
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
    this.#stream?.cancel();
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
        this.#stream?.onCopyData(message.body);
      } else if (message.tag === 'c' || message.tag === 'f') {
        await this.#stream?.end();
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
      const slot = streamableSlot(this.#state.slots, command.slot);
      if (!('sqlState' in slot)) {
        this.#stream = new SentStream(slot, this.#receiver, this.#state);
        return this.#stream.begin(command);
      }
      await this.#answer({ error: slot });
    } else if (command?.kind === 'baseBackup') {
      await this.#sendBackup(command.options);
    } else if (sql === '') {
      await this.#writer.send(EMPTY_QUERY);
    } else {
      const answer =
        command === undefined ? this.#runSql(sql, identity) : answerCommand(command, identity.database, this.#state);
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
      types: wal.types,
      dropSlot: (name) => this.#state.dropSlot(name),
    });
  }

  async #sendBackup(options: Readonly<Record<string, string>>): Promise<void> {
    const abort = new AbortController();
    this.#backup = abort;
    try {
      const error = await sendBackup(options, this.#state.options, this.#receiver, abort.signal);
      if (error !== undefined) await this.#answer({ error });
    } finally {
      this.#backup = undefined;
    }
  }

  get #receiver() {
    return { processId: this.processId, socket: this.#socket, writer: this.#writer };
  }
}

const UNKNOWN_SQL: Report = {
  sqlState: '42601',
  message: 'a fake sender does not know this statement; see its statements, and the option answerQuery',
};
