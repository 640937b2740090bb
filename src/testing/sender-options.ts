import { isListOf, refuseUnknown, wrong } from '../errors/option-checks.js';
import { Lsn } from '../lsn.js';
import type { FakeResult } from './backend-bytes.js';
import type { BackupScript, BackupSource } from './backup-step.js';
import { DEFAULT_SETTINGS } from './fake-catalog.js';
import type { FakeSlotOptions } from './fake-slot.js';
import { checkFault, type Fault } from './fault.js';
import type { StartRequest, WalSource, WalSteps } from './wal-step.js';

/** A script: what one connection gets after START_REPLICATION. */
export type WalScript = (request: StartRequest, signal: AbortSignal) => WalSteps;

/** Certificate and key of the server, as PEM. */
export interface FakeTls {
  /** PEM. */
  readonly cert: string | Buffer;
  /** PEM. */
  readonly key: string | Buffer;
}

/** Answers SQL that the sender does not know; `undefined` leaves it an error 42601. */
export type AnswerQuery = (sql: string) => FakeResult | undefined;

/** Options of `FakeWalSender.listen()`. */
export interface FakeWalSenderOptions {
  /** What is sent: a {@link WalTape}, or a script of one's own. Default: nothing. */
  readonly wal?: WalSource | WalScript;
  /** What BASE_BACKUP gets: a `FakeBackup`, or a script of one's own. Default: an error 0A000. */
  readonly backup?: BackupSource | BackupScript;
  /** Slots that are there: names, or more about them. Default: none. */
  readonly slots?: readonly (string | FakeSlotOptions)[];
  /** Publications that are there. Default: none. */
  readonly publications?: readonly string[];
  /** Default: any free port. With `socketDirectory` the number in the socket's name, 5432. */
  readonly port?: number;
  /** Listen on a Unix socket in this folder instead of on 127.0.0.1. */
  readonly socketDirectory?: string;
  /** As text; default `18.4`. */
  readonly serverVersion?: string;
  /** What IDENTIFY_SYSTEM says; digits. */
  readonly systemId?: string;
  /** Default: 1. */
  readonly timeline?: number;
  /** Of {@link FakeWalSender.connectionString}. */
  readonly database?: string;
  /** Of {@link FakeWalSender.connectionString}; any other may come too. */
  readonly user?: string;
  /** Default `trust`. */
  readonly auth?: 'trust' | 'password' | 'scram-sha-256';
  /** Needed unless `auth` is `trust`. */
  readonly password?: string;
  /** Without it SSLRequest is answered with N. */
  readonly tls?: FakeTls;
  /** Settings of the server, such as `wal_level`, `max_wal_senders`, `wal_sender_timeout` (in ms). */
  readonly settings?: Readonly<Record<string, string>>;
  /** Answers SQL that the sender does not know. */
  readonly answerQuery?: AnswerQuery;
  /** Faults that wait for the first connections. */
  readonly faults?: readonly Fault[];
}

/** The same with every default filled in. */
export interface ResolvedSenderOptions {
  readonly wal: WalSource;
  readonly backup: BackupSource | undefined;
  readonly slots: readonly FakeSlotOptions[];
  readonly publications: readonly string[];
  readonly port: number;
  readonly socketDirectory: string | undefined;
  readonly serverVersion: string;
  readonly systemId: string;
  readonly timeline: number;
  readonly database: string;
  readonly user: string;
  readonly auth: 'trust' | 'password' | 'scram-sha-256';
  readonly password: string | undefined;
  readonly tls: FakeTls | undefined;
  readonly settings: Readonly<Record<string, string>>;
  readonly answerQuery: AnswerQuery;
  readonly faults: readonly Fault[];
}

const KNOWN_OPTIONS = new Set([
  'wal',
  'backup',
  'slots',
  'publications',
  'port',
  'socketDirectory',
  'serverVersion',
  'systemId',
  'timeline',
  'database',
  'user',
  'auth',
  'password',
  'tls',
  'settings',
  'answerQuery',
  'faults',
]);
const AUTH_METHODS = ['trust', 'password', 'scram-sha-256'];
const DEFAULT_SOCKET_PORT = 5432;
/** Where the WAL of a script begins: 0/0 would mean no position. */
const SCRIPT_START_LSN = Lsn.parse('0/1000000');

/** Checks and completes what the user gave; ConfigurationError names the option at fault. */
export function resolveSenderOptions(options: FakeWalSenderOptions): ResolvedSenderOptions {
  if (typeof options !== 'object' || options === null) throw wrong('options', 'must be an object');
  refuseUnknown(options, KNOWN_OPTIONS, '');
  const { socketDirectory, auth = 'trust', password, tls, serverVersion = '18.4', timeline = 1 } = options;
  const { port = socketDirectory === undefined ? 0 : DEFAULT_SOCKET_PORT } = options;
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw wrong('port', 'must be a whole number up to 65535');
  if (!AUTH_METHODS.includes(auth)) throw wrong('auth', `must be ${AUTH_METHODS.join(' or ')}`);
  if (auth !== 'trust' && (typeof password !== 'string' || password === '')) {
    throw wrong('password', `must be given with auth ${auth}`);
  }
  if (!/^\d+(\.\d+)*$/.test(serverVersion)) throw wrong('serverVersion', 'must be text such as 18.4');
  if (!Number.isInteger(timeline) || timeline < 1) throw wrong('timeline', 'must be a whole number from 1');
  if (tls !== undefined && (!tls?.cert || !tls.key)) throw wrong('tls', 'must hold cert and key');
  const slots = options.slots ?? [];
  if (!isListOf(slots, (slot) => typeof slot === 'string' || (typeof slot === 'object' && slot !== null))) {
    throw wrong('slots', 'must be an array of names or objects');
  }
  const publications = options.publications ?? [];
  if (!isListOf(publications, (name) => typeof name === 'string' && name !== '')) {
    throw wrong('publications', 'must be an array of names');
  }
  for (const fault of options.faults ?? []) checkFault(fault);
  const { answerQuery = () => undefined } = options;
  if (typeof answerQuery !== 'function') throw wrong('answerQuery', 'must be a function');
  return {
    wal: sourceFrom(options.wal ?? (() => [])),
    backup: backupFrom(options.backup),
    slots: slots.map((slot) => (typeof slot === 'string' ? { name: slot } : slot)),
    publications,
    port,
    socketDirectory,
    serverVersion: serverVersion.includes('.') ? serverVersion : `${serverVersion}.0`,
    systemId: options.systemId ?? '7000000000000000001',
    timeline,
    database: options.database ?? 'test',
    user: options.user ?? 'test',
    auth,
    password,
    tls,
    settings: { ...DEFAULT_SETTINGS, ...options.settings },
    answerQuery,
    faults: options.faults ?? [],
  };
}

function sourceFrom(wal: WalSource | WalScript): WalSource {
  if (typeof wal === 'function') return { startLsn: SCRIPT_START_LSN, endLsn: SCRIPT_START_LSN, steps: wal };
  if (typeof wal !== 'object' || wal === null || typeof wal.steps !== 'function') {
    throw wrong('wal', 'must be a WalTape, a RecordedWal or a function that gives steps');
  }
  return wal;
}

function backupFrom(backup: BackupSource | BackupScript | undefined): BackupSource | undefined {
  if (typeof backup === 'function') return { steps: backup };
  if (backup === undefined || typeof backup?.steps === 'function') return backup;
  throw wrong('backup', 'must be a FakeBackup or a function that gives steps');
}
