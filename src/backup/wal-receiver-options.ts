import { resolve as resolvePath } from 'node:path';
import {
  type ConnectionConfig,
  type ConnectionInput,
  resolveConnectionConfig,
} from '../connection/connection-config.js';
import { ConfigurationError } from '../errors.js';
import { checkSlotName } from '../protocol/quoting.js';

/** A physical slot, which keeps the server from removing WAL that was not received. */
export interface PhysicalSlotOptions {
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /** `never` (default): a missing slot is an error. `if-missing`: it is created, and keeps WAL from then on. */
  readonly create?: 'never' | 'if-missing';
  /** Create it for this connection only. */
  readonly temporary?: boolean;
}

/** Options of `WalReceiver`. */
export interface WalReceiverOptions {
  /** Connection string or object; default `DATABASE_URL`, then the `PG*` variables. */
  readonly connection?: ConnectionInput;
  /** An existing folder for the segments. What is in it says where to go on. */
  readonly directory: string;
  /** Without a slot the server may remove WAL before it is received. */
  readonly slot?: string | PhysicalSlotOptions;
  /**
   * Where to start, rounded down to the start of its segment, when the folder holds no WAL. Default: where the slot
   * keeps WAL from (PostgreSQL 15+), else where the server is.
   */
  readonly startLsn?: bigint;
  /** Ends once everything before it is received. Default: never. */
  readonly endLsn?: bigint;
  /** Make WAL safe as it comes, and tell the server at once. Default: false, at the end of each segment. */
  readonly synchronous?: boolean;
  /** How often the server is told how far we are. Default: 10 000. */
  readonly feedbackIntervalMs?: number;
  /** A server that says nothing for so long is lost. Default: 60 000. */
  readonly livenessTimeoutMs?: number;
  /** Ends it; {@link WalReceiver.run} rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface ResolvedReceiverOptions {
  readonly connection: ConnectionConfig;
  readonly directory: string;
  readonly slot: Required<PhysicalSlotOptions> | undefined;
  readonly startLsn: bigint | undefined;
  readonly endLsn: bigint | undefined;
  readonly synchronous: boolean;
  readonly feedbackIntervalMs: number;
  readonly livenessTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

const DEFAULT_FEEDBACK_INTERVAL_MS = 10_000;
const DEFAULT_LIVENESS_TIMEOUT_MS = 60_000;
const MAX_INTERVAL_MS = 86_400_000;
const MAX_LSN = 0xffff_ffff_ffff_ffffn;
const KNOWN: ReadonlySet<string> = new Set([
  'connection',
  'directory',
  'slot',
  'startLsn',
  'endLsn',
  'synchronous',
  'feedbackIntervalMs',
  'livenessTimeoutMs',
  'signal',
] satisfies (keyof WalReceiverOptions)[]);

export function resolveReceiverOptions(options: WalReceiverOptions): ResolvedReceiverOptions {
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) throw wrong(name, `is no option; there are ${[...KNOWN].join(', ')}`);
  }
  const { directory, synchronous = false, signal } = options;
  if (typeof directory !== 'string' || directory === '' || directory.includes('\0')) {
    throw wrong('directory', 'must be a path');
  }
  if (typeof synchronous !== 'boolean') throw wrong('synchronous', 'must be true or false');
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrong('signal', 'must be an AbortSignal');
  return {
    connection: resolveConnectionConfig(options.connection),
    directory: resolvePath(directory),
    slot: slotFrom(options.slot),
    startLsn: lsnFrom(options.startLsn, 'startLsn'),
    endLsn: lsnFrom(options.endLsn, 'endLsn'),
    synchronous,
    feedbackIntervalMs: interval(options.feedbackIntervalMs, 'feedbackIntervalMs', DEFAULT_FEEDBACK_INTERVAL_MS),
    livenessTimeoutMs: interval(options.livenessTimeoutMs, 'livenessTimeoutMs', DEFAULT_LIVENESS_TIMEOUT_MS),
    signal,
  };
}

function slotFrom(slot: WalReceiverOptions['slot']): Required<PhysicalSlotOptions> | undefined {
  if (slot === undefined) return undefined;
  const { name, create = 'never', temporary = false } = typeof slot === 'string' ? { name: slot } : slot;
  checkSlotName(name, 'slot.name');
  if (create !== 'never' && create !== 'if-missing') throw wrong('slot.create', 'must be "never" or "if-missing"');
  if (typeof temporary !== 'boolean') throw wrong('slot.temporary', 'must be true or false');
  if (temporary && create === 'never') throw wrong('slot.temporary', 'needs slot.create: "if-missing"');
  return { name, create, temporary };
}

function lsnFrom(lsn: bigint | undefined, option: string): bigint | undefined {
  if (lsn === undefined || (typeof lsn === 'bigint' && lsn >= 0n && lsn <= MAX_LSN)) return lsn;
  throw wrong(option, 'must be a bigint of 64 bits; Lsn.parse reads X/Y');
}

function interval(value: number | undefined, option: string, fallback: number): number {
  if (value === undefined) return fallback;
  if (Number.isInteger(value) && value >= 1 && value <= MAX_INTERVAL_MS) return value;
  throw wrong(option, `must be a whole number from 1 to ${MAX_INTERVAL_MS}`);
}

function wrong(option: string, problem: string): ConfigurationError {
  return new ConfigurationError(`${option} ${problem}`, { option });
}
