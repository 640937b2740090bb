import { resolve as resolvePath } from 'node:path';
import {
  type ConnectionConfig,
  type ConnectionInput,
  resolveConnectionConfig,
} from '../connection/connection-config.js';
import { flag, integer, oneOf, refuseUnknown, signalFrom, wrong } from '../errors/option-checks.js';
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
  refuseUnknown(options, KNOWN, '');
  const { directory } = options;
  if (typeof directory !== 'string' || directory === '' || directory.includes('\0')) {
    throw wrong('directory', 'must be a path');
  }
  return {
    connection: resolveConnectionConfig(options.connection),
    directory: resolvePath(directory),
    slot: slotFrom(options.slot),
    startLsn: lsnFrom(options.startLsn, 'startLsn'),
    endLsn: lsnFrom(options.endLsn, 'endLsn'),
    synchronous: flag(options.synchronous, 'synchronous'),
    feedbackIntervalMs: integer(
      options.feedbackIntervalMs,
      'feedbackIntervalMs',
      1,
      MAX_INTERVAL_MS,
      DEFAULT_FEEDBACK_INTERVAL_MS,
    ),
    livenessTimeoutMs: integer(
      options.livenessTimeoutMs,
      'livenessTimeoutMs',
      1,
      MAX_INTERVAL_MS,
      DEFAULT_LIVENESS_TIMEOUT_MS,
    ),
    signal: signalFrom(options.signal),
  };
}

function slotFrom(slot: WalReceiverOptions['slot']): Required<PhysicalSlotOptions> | undefined {
  if (slot === undefined) return undefined;
  const given = typeof slot === 'string' ? { name: slot } : slot;
  const { name } = given;
  checkSlotName(name, 'slot.name');
  const create = oneOf(given.create, 'slot.create', ['never', 'if-missing'], 'never');
  const temporary = flag(given.temporary, 'slot.temporary');
  if (temporary && create === 'never') throw wrong('slot.temporary', 'needs slot.create: "if-missing"');
  return { name, create, temporary };
}

function lsnFrom(lsn: bigint | undefined, option: string): bigint | undefined {
  if (lsn === undefined || (typeof lsn === 'bigint' && lsn >= 0n && lsn <= MAX_LSN)) return lsn;
  throw wrong(option, 'must be a bigint of 64 bits; Lsn.parse reads X/Y');
}
