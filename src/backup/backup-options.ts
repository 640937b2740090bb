import { isAbsolute, resolve as resolvePath } from 'node:path';
import { resolveConnectionConfig } from '../connection/connection-config.js';
import type { ConnectionConfig, ConnectionInput } from '../connection/connection-options.js';
import { type ConnectionSettings, collectSettings } from '../connection/connection-settings.js';
import { flag, integer, MAX_TIMER_MS, oneOf, refuseUnknown, signalFrom, wrong } from '../errors/option-checks.js';
import { MAX_BACKUP_RATE_KB, MIN_BACKUP_RATE_KB } from '../protocol/base-backup-command.js';
import { checkSlotName } from '../protocol/quoting.js';
import { type BackupCompression, type ResolvedCompression, resolveCompression } from './backup-compression.js';
import { type BackupTarget, parseTarget } from './backup-target.js';
import { checkCompression } from './compression-rules.js';
import type { ManifestChecksumAlgorithm } from './manifest-checksum.js';
import { serverPath } from './tablespace.js';

/** How the WAL of a backup comes: see {@link BaseBackupOptions.walMethod}. */
export type WalMethod = 'stream' | 'fetch' | 'none';

/** A physical slot for the WAL of a backup, and for a standby that is made of it. */
export interface BackupSlotOptions {
  /** Lower-case letters, digits and underscores. */
  readonly name: string;
  /**
   * `never` (default): it exists. `always`: it must not exist yet; it stays after the backup, and is dropped when the
   * backup fails, unless `keepOnError`.
   */
  readonly create?: 'never' | 'always';
}

/** Options of `BaseBackup`. */
export interface BaseBackupOptions {
  /** Connection string or object; default `DATABASE_URL`, then the `PG*` variables. The user needs REPLICATION. */
  readonly connection?: ConnectionInput;
  /** Where the backup goes: a folder that is empty or not there yet. Needed unless there is another `target`. */
  readonly directory?: string;
  /**
   * `client` (default): here. Else (15 and later) it does not come here, nothing is verified, and `directory` and `format`
   * are not possible: `server:/path`, a folder on the server, which makes archives there (the user needs
   * pg_write_server_files), or `blackhole`, which throws it away.
   */
  readonly target?: string;
  /**
   * As pg_basebackup's `--compress`: `server-zstd:level=5`, `client-gzip`, `gzip:9`, `none`; or an object. The server (15 and
   * later) compresses what it sends: in plain format it is decompressed as it comes, in tar format archives are kept
   * compressed. The client compresses archives of tar format, with gzip also `pg_wal.tar`. gzip; zstd from Node.js 24 on. lz4 is for the
   * server only: such archives are kept unread, so that they are not verified.
   */
  readonly compression?: string | BackupCompression;
  /**
   * Path of the `backup_manifest` of an earlier backup: only what changed since comes (17 and later, with
   * `summarize_wal`). pg_combinebackup makes one backup of both.
   */
  readonly incrementalFrom?: string;
  /**
   * `plain` (default): files as the server has them, ready to be started. `tar`: the server's archives, byte for byte,
   * `base.tar` and one for each tablespace.
   */
  readonly format?: 'plain' | 'tar';
  /**
   * How the WAL comes that the backup needs. `stream` (default): over a second connection, while the backup is taken.
   * `fetch`: the server adds it at the end, and fails if it was recycled meanwhile (`wal_keep_size`). `none`: the
   * backup is useless without an archive of WAL.
   */
  readonly walMethod?: WalMethod;
  /**
   * With `walMethod: 'stream'`, the slot for which the server keeps WAL until it was sent: a temporary one by default,
   * one that exists by its name, or a new one. `false`: none, and WAL may be removed too early.
   */
  readonly slot?: string | BackupSlotOptions | false;
  /** `spread` (default): the server's next checkpoint, which may take minutes. `fast`: one at once. */
  readonly checkpoint?: 'fast' | 'spread';
  /** Most kB per second that the server sends: 32 to 1 048 576. */
  readonly maxRateKb?: number;
  /** Kept in backup_label. Default `pg-walstream base backup`. */
  readonly label?: string;
  /**
   * `yes` (default): the server lists what it sends, and what came is compared with that. `force-encode`: with every path
   * in hex. `no`: it sends none; `backup_manifest` is then made here, of what came, as the server would make it.
   * There is nothing to compare what came with, but it can be verified later.
   */
  readonly manifest?: 'yes' | 'no' | 'force-encode';
  /** Algorithm of the manifest's checksums; default `CRC32C`. */
  readonly manifestChecksums?: ManifestChecksumAlgorithm;
  /** Let the server check its data pages (default); failures fail the backup and leave its files. */
  readonly verifyChecksums?: boolean;
  /**
   * In plain format, where each tablespace goes: its path on the server to a path here. `server-paths`: to the very
   * paths that the server names. A tablespace that is not mapped is an error before anything is written.
   */
  readonly tablespaceMapping?: Readonly<Record<string, string>> | 'server-paths';
  /**
   * Make the backup a standby of the server: standby.signal, primary_conninfo with what was given of `connection`,
   * password included, and primary_slot_name where `slot` names one. In tar format they are in `base.tar`.
   */
  readonly writeRecoveryConf?: boolean;
  /** Make everything survive a crash before the backup is called done. Default true. */
  readonly sync?: boolean;
  /** Leave what was written when the backup fails; it has no manifest then. */
  readonly keepOnError?: boolean;
  /**
   * Once the server sends, so long without a byte is an error, on each of the connections. Default 60 000. How long a
   * server waits for its archiver with `walMethod: 'none'`, when it has sent everything, does not count; one
   * of 14 says only after 5 s that it does.
   */
  readonly idleTimeoutMs?: number;
  /** Aborting ends the backup with the signal's reason. */
  readonly signal?: AbortSignal;
}

export type ResolvedBackupSlot =
  | { readonly kind: 'none' }
  | { readonly kind: 'temporary' }
  | { readonly kind: 'named'; readonly name: string; readonly create: boolean };

/** The same with every default filled in. */
export interface ResolvedBackupOptions {
  readonly connection: ConnectionConfig;
  /** Empty with a `target`. */
  readonly directory: string;
  readonly target: BackupTarget | undefined;
  readonly compression: ResolvedCompression | undefined;
  /** Absolute path. */
  readonly incrementalFrom: string | undefined;
  readonly format: 'plain' | 'tar';
  readonly walMethod: WalMethod;
  readonly slot: ResolvedBackupSlot;
  readonly checkpoint: 'fast' | 'spread';
  readonly maxRateKb: number | undefined;
  readonly label: string;
  readonly manifest: 'yes' | 'no' | 'force-encode';
  readonly manifestChecksums: ManifestChecksumAlgorithm;
  readonly verifyChecksums: boolean;
  readonly tablespaceMapping: ReadonlyMap<string, string> | 'server-paths';
  /** The settings of the connection as they were given, for a standby; `undefined`: it is to be none. */
  readonly recovery: ConnectionSettings['settings'] | undefined;
  readonly sync: boolean;
  readonly keepOnError: boolean;
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

const KNOWN_OPTIONS = new Set([
  'connection',
  'directory',
  'target',
  'compression',
  'incrementalFrom',
  'format',
  'walMethod',
  'slot',
  'checkpoint',
  'maxRateKb',
  'label',
  'manifest',
  'manifestChecksums',
  'verifyChecksums',
  'tablespaceMapping',
  'writeRecoveryConf',
  'sync',
  'keepOnError',
  'idleTimeoutMs',
  'signal',
]);
const DEFAULT_LABEL = 'pg-walstream base backup';
const DEFAULT_IDLE_TIMEOUT_MS = 60_000;

/** Checks and completes what the user gave; ConfigurationError names the option at fault. */
export function resolveBackupOptions(options: BaseBackupOptions): ResolvedBackupOptions {
  if (typeof options !== 'object' || options === null) throw wrong('options', 'must be an object');
  refuseUnknown(options, KNOWN_OPTIONS, '');
  const { label, maxRateKb, manifestChecksums } = options;
  const format = oneOf(options.format, 'format', ['plain', 'tar'] as const, 'plain');
  const manifest = oneOf(options.manifest, 'manifest', ['yes', 'no', 'force-encode'] as const, 'yes');
  if (label !== undefined && typeof label !== 'string') throw wrong('label', 'must be a string');
  if (format === 'tar' && options.tablespaceMapping !== undefined) {
    throw wrong('tablespaceMapping', "needs format: 'plain'; archives keep the server's paths in tablespace_map");
  }
  const writeRecoveryConf = flag(options.writeRecoveryConf, 'writeRecoveryConf');
  const target = parseTarget(options.target);
  const walMethods = ['stream', 'fetch', 'none'] as const;
  const walMethod = oneOf(options.walMethod, 'walMethod', walMethods, target === undefined ? 'stream' : 'fetch');
  if (target !== undefined && walMethod === 'stream') {
    throw wrong('walMethod', "must be 'fetch' or 'none' with another target: the WAL would come here");
  }
  if (target !== undefined) checkTarget(options);
  const { directory, incrementalFrom } = options;
  const compression = resolveCompression(options.compression, target !== undefined);
  if (compression !== undefined) {
    const [hasTarget, generatesManifest] = [target !== undefined, manifest === 'no'];
    checkCompression(compression, { format, hasTarget, generatesManifest, writeRecoveryConf });
  }
  return {
    connection: resolveConnectionConfig(options.connection),
    directory: target === undefined ? pathFrom(directory, 'directory') : '',
    target,
    compression,
    incrementalFrom: incrementalFrom === undefined ? undefined : pathFrom(incrementalFrom, 'incrementalFrom'),
    format,
    walMethod,
    slot: slotFrom(options.slot, walMethod),
    checkpoint: oneOf(options.checkpoint, 'checkpoint', ['fast', 'spread'] as const, 'spread'),
    maxRateKb:
      maxRateKb === undefined
        ? undefined
        : integer(maxRateKb, 'maxRateKb', MIN_BACKUP_RATE_KB, MAX_BACKUP_RATE_KB, MAX_BACKUP_RATE_KB),
    label: label ?? DEFAULT_LABEL,
    manifest,
    manifestChecksums: oneOf(
      manifestChecksums,
      'manifestChecksums',
      ['NONE', 'CRC32C', 'SHA224', 'SHA256', 'SHA384', 'SHA512'] as const,
      'CRC32C',
    ),
    verifyChecksums: options.verifyChecksums === undefined || flag(options.verifyChecksums, 'verifyChecksums'),
    tablespaceMapping: mappingFrom(options.tablespaceMapping),
    recovery: writeRecoveryConf ? collectSettings(options.connection, process.env).settings : undefined,
    sync: options.sync === undefined || flag(options.sync, 'sync'),
    keepOnError: flag(options.keepOnError, 'keepOnError'),
    idleTimeoutMs: integer(options.idleTimeoutMs, 'idleTimeoutMs', 10, MAX_TIMER_MS, DEFAULT_IDLE_TIMEOUT_MS),
    signal: signalFrom(options.signal),
  };
}

function slotFrom(slot: BaseBackupOptions['slot'], walMethod: WalMethod): ResolvedBackupSlot {
  if (slot === false) return { kind: 'none' };
  if (slot === undefined) return { kind: 'temporary' };
  if (walMethod !== 'stream') throw wrong('slot', "needs walMethod: 'stream'");
  if (typeof slot === 'string') return slotFrom({ name: slot }, walMethod);
  if (typeof slot !== 'object' || slot === null) throw wrong('slot', 'must be a name, { name, create } or false');
  refuseUnknown(slot, new Set(['name', 'create']), 'slot.');
  checkSlotName(slot.name, 'slot.name');
  const create = oneOf(slot.create, 'slot.create', ['never', 'always'] as const, 'never') === 'always';
  return { kind: 'named', name: slot.name, create };
}

function mappingFrom(mapping: BaseBackupOptions['tablespaceMapping']): ReadonlyMap<string, string> | 'server-paths' {
  if (mapping === 'server-paths') return mapping;
  if (mapping !== undefined && (typeof mapping !== 'object' || mapping === null)) {
    throw wrong('tablespaceMapping', "must be an object from paths to paths, or 'server-paths'");
  }
  const places = new Map<string, string>();
  for (const [from, to] of Object.entries(mapping ?? {})) {
    const option = `tablespaceMapping[${JSON.stringify(from)}]`;
    // What a link says must hold wherever the server is started from.
    if (typeof to !== 'string' || !isAbsolute(to)) throw wrong(option, 'must be an absolute path');
    if (places.has(serverPath(from))) throw wrong(option, 'is a path that another key names too');
    places.set(serverPath(from), pathFrom(to, option));
  }
  return places;
}

/** Options that say how a backup is written here. */
const LOCAL_OPTIONS = ['directory', 'format', 'tablespaceMapping', 'writeRecoveryConf'] as const;

/** What goes elsewhere is not written here. */
function checkTarget(options: BaseBackupOptions): void {
  for (const name of LOCAL_OPTIONS) {
    if (options[name] !== undefined && options[name] !== false)
      throw wrong(name, 'is not possible with another target');
  }
}

function pathFrom(path: string | undefined, option: string): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw wrong(
      option,
      option === 'incrementalFrom' ? 'must be the path of a manifest' : 'must be the path of a folder',
    );
  }
  return resolvePath(path);
}
