import { plainObject, signalFrom, text, timeLimit, wrong } from '../errors/option-checks.js';
import { ConnectionError, ProtocolError, TimeoutError, type WalStreamError } from '../errors.js';
import { parseTimelineHistory, type TimelineSwitch } from '../protocol/timeline-history.js';
import type { BackendMessage } from './backend-message.js';
import { sendCancelRequest } from './cancel-request.js';
import { type ConnectOptions, connectSession, type Session } from './connect.js';
import { connectionErrorFrom } from './connect-deadline.js';
import type { ConnectionConfig } from './connection-options.js';
import { FrontendMessage } from './frontend-message.js';
import { QueryInterruption } from './query-interruption.js';
import { type QueryResult, ResultCollector } from './query-result.js';
import { formatAddress } from './server-address.js';
import { serverErrorFrom } from './server-error.js';
import type { ConnectionMode } from './session-start.js';
import { parseSystemIdentity, type SystemIdentity } from './system-identity.js';
import type { Transport } from './transport.js';

/** How long a query may take. */
export interface QueryOptions {
  /** Bound on the query from when it is sent. Default: none. */
  readonly timeoutMs?: number;
  /** Cancels the query; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * One session with a PostgreSQL server: simple queries, one after the other, until {@link detach} hands the byte stream
 * to a COPY.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html
 */
export class PgConnection implements AsyncDisposable {
  /** As in server_version_num: 180004. */
  readonly serverVersion: number;
  /** What the server reports of its settings, kept up to date while it is not detached. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Of the backend, as in pg_stat_activity. */
  readonly processId: number;
  /** `host:port`, or the path of the Unix socket, of the host that was chosen. */
  readonly host: string;
  /** Whether TLS is in use. */
  readonly encrypted: boolean;
  /** What kind of backend it has. */
  readonly mode: ConnectionMode;
  readonly #config: ConnectionConfig;
  readonly #session: Session;
  /** The last query, settled or not: the next waits for it. */
  #last: Promise<unknown> = Promise.resolve();
  #running = 0;
  #state: 'open' | 'detached' | 'closed' = 'open';
  #closing: Promise<void> | undefined;

  /**
   * Connects to the first host that works. Errors: ConfigurationError (arguments, certificate files, a server before 14),
   * ConnectionError, TimeoutError, AuthenticationError, ServerError, ProtocolError; with several hosts a
   * ConnectionError whose cause is an AggregateError. An abort rejects with the signal's reason.
   */
  static async connect(config: ConnectionConfig, options: ConnectOptions): Promise<PgConnection> {
    return new PgConnection(config, await connectSession(config, options), options.mode);
  }

  private constructor(config: ConnectionConfig, session: Session, mode: ConnectionMode) {
    this.#config = config;
    this.#session = session;
    this.mode = mode;
    this.serverVersion = session.serverVersion;
    this.parameters = session.parameters;
    this.processId = session.key.processId;
    this.host = formatAddress(session.address);
    this.encrypted = session.transport.encrypted;
    session.reader.onFailure = () => {
      if (this.#state === 'open') session.transport.destroy();
    };
  }

  /**
   * Runs one simple query, which may hold several statements, when those before it have ended. Gives one result for each
   * statement.
   *
   * At the time limit or an abort the server is asked to cancel, and the promise rejects (TimeoutError, or the signal's
   * reason) once the query has ended; the connection then goes on being usable. A server that does not obey within
   * `CANCEL_GRACE_MS` (2 s) costs the connection.
   */
  query(sql: string, options: QueryOptions = {}): Promise<QueryResult[]> {
    return this.#enqueue(sql, options, undefined);
  }

  /**
   * A query that asks for a COPY IN, such as UPLOAD_MANIFEST, and gets these bytes, no faster than they can be sent. An error
   * of `data` ends the COPY and is the one that it rejects with.
   */
  copyIn(sql: string, data: AsyncIterable<Buffer>, options: QueryOptions = {}): Promise<QueryResult[]> {
    return this.#enqueue(sql, options, data);
  }

  /** IDENTIFY_SYSTEM; for `logical` and `physical` connections. */
  async identifySystem(options: QueryOptions = {}): Promise<SystemIdentity> {
    const [result] = await this.query('IDENTIFY_SYSTEM', options);
    return parseSystemIdentity(result);
  }

  /** TIMELINE_HISTORY: the timelines before `timeline`, oldest first; for `logical` and `physical` connections. */
  async timelineHistory(timeline: number, options: QueryOptions = {}): Promise<TimelineSwitch[]> {
    const [result] = await this.query(`TIMELINE_HISTORY ${timeline}`, options);
    return parseTimelineHistory(result?.rows[0]?.[1] ?? '');
  }

  /**
   * Asks the server to cancel what this session is doing, over a second connection to the same server. May come too late
   * and do nothing. Works on a detached connection too.
   */
  cancel(): Promise<void> {
    const { address, transport, key } = this.#session;
    const { remoteAddress, encrypted } = transport;
    return sendCancelRequest(this.#config, { address, remoteAddress, encrypted, key });
  }

  /**
   * Hands the byte stream over, for a COPY. Only when idle; afterwards the connection answers nothing but
   * {@link cancel}, and closing is the new owner's. The caller sets a sink at once.
   */
  detach(): Transport {
    const { reader, transport } = this.#session;
    this.#checkOpen();
    if (this.#running > 0) throw this.#unusable('has a query running: detach() needs it idle');
    if (reader.queued > 0) {
      throw new ProtocolError('the server sent messages that belong to no query', { offset: 0 });
    }
    this.#state = 'detached';
    transport.unread(reader.incomplete);
    return transport;
  }

  /** Ends the session: Terminate, then close, within a bound. Queries that still wait are rejected. */
  async close(): Promise<void> {
    if (this.#state === 'open') {
      this.#state = 'closed';
      const { reader, transport } = this.#session;
      if (!reader.failed) transport.write(FrontendMessage.terminate());
      reader.fail(this.#unusable('has been closed'));
      this.#closing = transport.end();
    }
    await this.#closing;
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #enqueue(sql: string, options: QueryOptions, data: AsyncIterable<Buffer> | undefined): Promise<QueryResult[]> {
    if (text(sql, 'sql').includes('\0')) throw wrong('sql', 'must not contain NUL');
    signalFrom(plainObject(options, 'options').signal);
    timeLimit(options.timeoutMs, 'timeoutMs');
    this.#running += 1;
    const result = this.#last.then(() => this.#run(sql, options, data));
    this.#last = result.catch(() => {});
    return result.finally(() => {
      this.#running -= 1;
    });
  }

  async #run(sql: string, options: QueryOptions, data: AsyncIterable<Buffer> | undefined): Promise<QueryResult[]> {
    this.#checkOpen();
    const { timeoutMs, signal } = options;
    signal?.throwIfAborted();
    const interruption = new QueryInterruption({
      cancel: () => this.cancel(),
      giveUp: (reason) => this.#session.reader.fail(reason),
    });
    const onAbort = () => interruption.begin(signal?.reason);
    const onTimeout = () => {
      const { host } = this;
      const message = `a query on ${host} took longer than ${timeoutMs} ms`;
      interruption.begin(new TimeoutError(message, { host, phase: 'query', timeoutMs: timeoutMs ?? 0 }));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = timeoutMs === undefined ? undefined : setTimeout(onTimeout, timeoutMs);
    try {
      this.#session.transport.write(FrontendMessage.query(sql));
      const results = await this.#readResults(interruption, data);
      // It ended all the same, but whoever gave up on it does not expect that.
      if (interruption.begun) throw interruption.reason;
      return results;
    } catch (error) {
      throw interruption.begun ? interruption.reason : error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      await interruption.end();
    }
  }

  /** Reads to ReadyForQuery whatever happens, so that the next query finds the session in order. */
  async #readResults(interruption: QueryInterruption, data: AsyncIterable<Buffer> | undefined): Promise<QueryResult[]> {
    const collector = new ResultCollector();
    let failure: WalStreamError | undefined;
    let sent: SentCopy | undefined;
    let next: Promise<BackendMessage> | undefined;
    for (;;) {
      const message = await (next ?? this.#nextMessage(failure));
      next = undefined;
      switch (message.name) {
        case 'rowDescription':
          collector.describe(message.columns);
          break;
        case 'dataRow':
          if (!interruption.begun) attempt(() => collector.add(message.values, message.bytes), interruption);
          break;
        case 'commandComplete':
          attempt(() => collector.complete(message.command), interruption);
          break;
        case 'emptyQueryResponse':
          attempt(() => collector.complete(''), interruption);
          break;
        case 'errorResponse':
          failure ??= serverErrorFrom(message.fields);
          break;
        case 'copyInResponse':
          if (data === undefined || sent !== undefined) {
            this.#session.transport.write(FrontendMessage.copyFail('query() runs no COPY'));
          } else {
            sent = await this.#sendCopy(data, interruption);
            next = sent.answer;
          }
          break;
        case 'copyOutResponse':
        case 'copyBothResponse':
          throw this.#giveUp(new ProtocolError('query() runs no COPY: detach the connection for it', { offset: 0 }));
        case 'readyForQuery':
          if (sent !== undefined && 'cause' in sent) throw sent.cause;
          if (failure !== undefined) throw failure;
          return collector.results;
        default:
          throw this.#giveUp(new ProtocolError(`the server sent ${message.name} in a query`, { offset: 0 }));
      }
    }
  }

  /** Sends until the end of `data`, or until the server has something to say before: it then wants nothing more. */
  async #sendCopy(data: AsyncIterable<Buffer>, interruption: QueryInterruption): Promise<SentCopy> {
    const { transport } = this.#session;
    let answered = false;
    const answer = this.#nextMessage(undefined);
    const onAnswer = () => {
      answered = true;
    };
    const stopped = answer.then(onAnswer, onAnswer);
    try {
      for await (const piece of data) {
        if (answered || interruption.begun) break;
        const written = new Promise<void>((resolve) => {
          transport.write(FrontendMessage.copyData(piece), resolve);
        });
        await Promise.race([written, stopped]);
      }
    } catch (cause) {
      transport.write(FrontendMessage.copyFail('what was to be sent cannot be read'));
      return { answer, cause };
    }
    // Behind an error the server passes over what belongs to the COPY.
    transport.write(interruption.begun ? FrontendMessage.copyFail('cancelled') : FrontendMessage.copyDone());
    return { answer };
  }

  async #nextMessage(failure: WalStreamError | undefined): Promise<BackendMessage> {
    try {
      return await this.#session.reader.next();
    } catch (error) {
      // A FATAL error says why the connection closed right after it.
      throw failure ?? connectionErrorFrom(error, { host: this.host, phase: 'query' });
    }
  }

  #giveUp(error: WalStreamError): WalStreamError {
    this.#session.reader.fail(error);
    return error;
  }

  #checkOpen(): void {
    if (this.#state === 'detached') throw this.#unusable('has been detached');
    if (this.#state === 'closed') throw this.#unusable('has been closed');
  }

  #unusable(why: string): ConnectionError {
    const { host } = this;
    return new ConnectionError(`the connection to ${host} ${why}`, { host, phase: 'query', retryable: false });
  }
}

/** What became of a COPY IN. */
interface SentCopy {
  /** What the server says next. */
  readonly answer: Promise<BackendMessage>;
  /** Why the bytes ended before their time, where that was at fault. */
  readonly cause?: unknown;
}

/** Results beyond the bounds stop the query: it is cancelled and what still comes is dropped. */
function attempt(collect: () => void, interruption: QueryInterruption): void {
  try {
    collect();
  } catch (error) {
    interruption.begin(error);
  }
}
