import { ConfigurationError } from '../errors.js';
import { requireServerVersion } from './server-version.js';

/** Protocol version of pgoutput: 2 from PostgreSQL 14 on, 3 from 15, 4 from 16. */
export type PgoutputProtoVersion = 1 | 2 | 3 | 4;
/** Which large transactions are sent before they commit: none, all, or all with what a parallel apply needs to know. */
export type PgoutputStreaming = 'off' | 'on' | 'parallel';

/**
 * What START_REPLICATION asks of pgoutput, resolved.
 *
 * @see https://www.postgresql.org/docs/current/protocol-logical-replication.html
 */
export interface PgoutputOptions {
  /** `newest`: of those that the server has. */
  readonly protoVersion: PgoutputProtoVersion | 'newest';
  /** Their names; at least one. */
  readonly publications: readonly string[];
  /** Column values in binary form where the type has one. */
  readonly binary: boolean;
  /** Messages of pg_logical_emit_message. */
  readonly messages: boolean;
  /** Large transactions before they commit. */
  readonly streaming: PgoutputStreaming;
  /** Prepared transactions when they are prepared; 15 and later. */
  readonly twoPhase: boolean;
  /** `none`: only changes that have no replication origin. */
  readonly origin: 'any' | 'none';
}

/** The publications, and what differs from pgoutput's defaults. */
export type PgoutputRequest = Pick<PgoutputOptions, 'publications'> & Partial<PgoutputOptions>;

/** Fills in pgoutput's defaults, and the newest protocol version that the server will turn out to have. */
export function resolvePgoutputOptions(request: PgoutputRequest): PgoutputOptions {
  return {
    protoVersion: request.protoVersion ?? 'newest',
    publications: request.publications,
    binary: request.binary ?? false,
    messages: request.messages ?? false,
    streaming: request.streaming ?? 'off',
    twoPhase: request.twoPhase ?? false,
    origin: request.origin ?? 'any',
  };
}

const PROTO_VERSION_SINCE: Readonly<Record<PgoutputProtoVersion, number>> = {
  1: 100_000,
  2: 140_000,
  3: 150_000,
  4: 160_000,
};

/** The protocol version to ask this server for. */
export function protoVersionFor({ protoVersion }: PgoutputOptions, serverVersion: number): PgoutputProtoVersion {
  if (protoVersion !== 'newest') return protoVersion;
  const newest = ([4, 3, 2] as const).find((version) => serverVersion >= PROTO_VERSION_SINCE[version]);
  return newest ?? 1;
}

/**
 * Refuses, before anything is sent, what this server does not have and what contradicts itself.
 *
 * @throws ConfigurationError naming the option, and the version that has it
 */
export function checkPgoutputOptions(options: PgoutputOptions, serverVersion: number): void {
  const { publications, streaming, twoPhase } = options;
  const protoVersion = protoVersionFor(options, serverVersion);
  const since = PROTO_VERSION_SINCE[protoVersion];
  if (since === undefined) {
    throw new ConfigurationError(`protoVersion ${String(protoVersion)} is none of 1, 2, 3, 4`, {
      option: 'protoVersion',
    });
  }
  if (publications.length === 0) {
    throw new ConfigurationError('publications is empty: pgoutput needs at least one', { option: 'publications' });
  }
  if (options.binary) requireServerVersion(serverVersion, 140_000, 'binary', 'binary');
  if (options.messages) requireServerVersion(serverVersion, 140_000, 'messages', 'messages');
  if (streaming === 'on') requireServerVersion(serverVersion, 140_000, 'streaming', 'streaming');
  if (streaming === 'parallel') requireServerVersion(serverVersion, 160_000, 'streaming: parallel', 'streaming');
  if (twoPhase) requireServerVersion(serverVersion, 150_000, 'twoPhase', 'twoPhase');
  if (options.origin === 'none') requireServerVersion(serverVersion, 160_000, 'origin: none', 'origin');
  // After the options that raise it: who asked for streaming should not read about protoVersion.
  requireServerVersion(serverVersion, since, `protoVersion ${protoVersion}`, 'protoVersion');

  if (streaming === 'on') requireProtoVersion(protoVersion, 2, 'streaming', 'streaming');
  if (streaming === 'parallel') requireProtoVersion(protoVersion, 4, 'streaming: parallel', 'streaming');
  if (twoPhase) requireProtoVersion(protoVersion, 3, 'twoPhase', 'twoPhase');
}

function requireProtoVersion(protoVersion: number, least: number, what: string, option: string): void {
  if (protoVersion >= least) return;
  throw new ConfigurationError(`${what} needs protoVersion ${least} or higher, and protoVersion is ${protoVersion}`, {
    option,
  });
}
