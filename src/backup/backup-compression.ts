import { ConfigurationError } from '../errors.js';

export const COMPRESSION_METHODS = ['gzip', 'lz4', 'zstd'] as const;
/**
 * Of archives; `none` is not among them.
 *
 * @useDeclaredType
 */
export type CompressionMethod = (typeof COMPRESSION_METHODS)[number];

/** How archives are compressed, and by whom. */
export interface BackupCompression {
  /** `none`: the archives come and stay as they are. */
  readonly method: CompressionMethod | 'none';
  /**
   * `server` spares the network, `client` the server; only archives in tar format can be compressed here. Default, as
   * pg_basebackup's: `client`, or `server` where the backup goes to another `target`.
   */
  readonly location?: 'client' | 'server';
  /** gzip 1 to 9, lz4 1 to 12, zstd -131072 to 22; default the method's own. */
  readonly level?: number;
  /** Threads that compress; zstd on the server only. */
  readonly workers?: number;
  /** Look for repetitions far apart; zstd only, and on the server from 16 on. */
  readonly long?: boolean;
}

/** With everything decided; `undefined` stands for no compression. */
export interface ResolvedCompression {
  readonly method: CompressionMethod;
  readonly location: 'client' | 'server';
  /** `undefined`: the method's own default. */
  readonly level: number | undefined;
  readonly workers: number | undefined;
  readonly long: boolean;
}

const OPTION = 'compression';
const MAX_WORKERS = 256;

/** Lowest and highest level, and the number that stands for the default. */
const LEVELS: Readonly<
  Record<CompressionMethod, { readonly min: number; readonly max: number; readonly own: number }>
> = {
  gzip: { min: 1, max: 9, own: -1 },
  lz4: { min: 1, max: 12, own: 0 },
  zstd: { min: -131_072, max: 22, own: 3 },
};

/** What the server and pg_basebackup add to the name of an archive. */
export const COMPRESSION_SUFFIXES: Readonly<Record<CompressionMethod, string>> = {
  gzip: '.gz',
  lz4: '.lz4',
  zstd: '.zst',
};

const TRUE_WORDS: ReadonlySet<string> = new Set(['true', 'on', 'yes', '1']);
const FALSE_WORDS: ReadonlySet<string> = new Set(['false', 'off', 'no', '0']);

/**
 * Reads what pg_basebackup's `--compress` takes.
 *
 * ```
 * [client-|server-] METHOD [:DETAIL]  |  [client-|server-] LEVEL     a level alone means gzip, 0 no compression
 * METHOD: gzip | lz4 | zstd | none
 * DETAIL: LEVEL  |  level=LEVEL | workers=NUMBER | long[=BOOLEAN], separated by commas
 * ```
 *
 * @throws ConfigurationError
 * @see https://www.postgresql.org/docs/current/app-pgbasebackup.html
 */
export function parseCompression(text: string): BackupCompression {
  const [, where, rest = ''] = /^(client-|server-)?(.*)$/s.exec(text) ?? [];
  const location = where === undefined ? {} : ({ location: where === 'client-' ? 'client' : 'server' } as const);
  if (/^[+-]?\d+$/.test(rest)) {
    const level = Number(rest);
    return level === 0 ? { ...location, method: 'none' } : { ...location, method: 'gzip', level };
  }
  const colon = rest.indexOf(':');
  const name = colon === -1 ? rest : rest.slice(0, colon);
  const method = ([...COMPRESSION_METHODS, 'none'] as const).find((known) => known === name);
  if (method === undefined) {
    throw refused(`there is no method ${JSON.stringify(name)}; only ${COMPRESSION_METHODS.join(', ')} and none`);
  }
  const detail = colon === -1 ? {} : parseDetail(rest.slice(colon + 1));
  const compression: BackupCompression = { ...location, method, ...detail };
  checkDetail(compression);
  return compression;
}

function parseDetail(text: string): Pick<BackupCompression, 'level' | 'workers' | 'long'> {
  if (/^[+-]?\d+$/.test(text)) return { level: Number(text) };
  let detail: Pick<BackupCompression, 'level' | 'workers' | 'long'> = {};
  for (const part of text.split(',')) {
    const equals = part.indexOf('=');
    const [keyword, value] = equals === -1 ? [part, undefined] : [part.slice(0, equals), part.slice(equals + 1)];
    switch (keyword) {
      case 'level':
        detail = { ...detail, level: integerFrom(keyword, value) };
        break;
      case 'workers':
        detail = { ...detail, workers: integerFrom(keyword, value) };
        break;
      case 'long':
        detail = { ...detail, long: booleanFrom(keyword, value) };
        break;
      case '':
        throw refused('a detail is empty');
      default:
        throw refused(`there is no detail ${JSON.stringify(keyword)}; only level, workers and long`);
    }
  }
  return detail;
}

function integerFrom(keyword: string, value: string | undefined): number {
  if (value === undefined || !/^[+-]?\d{1,9}$/.test(value)) throw refused(`${keyword} must be a whole number`);
  return Number(value);
}

function booleanFrom(keyword: string, value: string | undefined): boolean {
  const word = value?.toLowerCase();
  if (word === undefined || TRUE_WORDS.has(word)) return true;
  if (FALSE_WORDS.has(word)) return false;
  throw refused(`${keyword} must be yes or no`);
}

/** As validate_compress_specification of PostgreSQL has it. */
function checkDetail({ method, level, workers, long }: BackupCompression): void {
  if (method === 'none') {
    if (level !== undefined || workers !== undefined || long !== undefined) throw refused('none has no details');
    return;
  }
  const { min, max, own } = LEVELS[method];
  if (level !== undefined && level !== own && !(Number.isInteger(level) && level >= min && level <= max)) {
    throw refused(`${method} has levels from ${min} to ${max}`);
  }
  if (method !== 'zstd' && (workers !== undefined || long !== undefined)) {
    throw refused(`${method} has no ${workers === undefined ? 'long' : 'workers'}; zstd has`);
  }
  if (workers !== undefined && !(Number.isInteger(workers) && workers >= 0 && workers <= MAX_WORKERS)) {
    throw refused(`workers must be a number from 0 to ${MAX_WORKERS}`);
  }
}

const KNOWN: ReadonlySet<string> = new Set([
  'method',
  'location',
  'level',
  'workers',
  'long',
] satisfies (keyof BackupCompression)[]);

/** Completes the text or the object; `hasTarget`: the backup does not come here. */
export function resolveCompression(
  given: string | BackupCompression | undefined,
  hasTarget: boolean,
): ResolvedCompression | undefined {
  if (given === undefined) return undefined;
  const compression = typeof given === 'string' ? parseCompression(given) : given;
  if (typeof compression !== 'object' || compression === null) throw refused('must be a string or an object');
  for (const name of Object.keys(compression)) {
    if (!KNOWN.has(name))
      throw refused(`${name} is no option; there are ${[...KNOWN].join(', ')}`, `${OPTION}.${name}`);
  }
  const { method, location = hasTarget ? 'server' : 'client', level, workers, long } = compression;
  if (method !== 'none' && !COMPRESSION_METHODS.includes(method)) {
    throw refused(`method must be ${COMPRESSION_METHODS.join(', ')} or none`, `${OPTION}.method`);
  }
  if (location !== 'client' && location !== 'server')
    throw refused('location must be client or server', `${OPTION}.location`);
  if (long !== undefined && typeof long !== 'boolean') throw refused('long must be true or false', `${OPTION}.long`);
  checkDetail(compression);
  if (method === 'none') return undefined;
  const isOwn = level === LEVELS[method].own;
  return { method, location, level: isOwn ? undefined : level, workers, long: long ?? false };
}

/** COMPRESSION_DETAIL of BASE_BACKUP; `undefined` where everything is the method's own. */
export function compressionDetail({ level, workers, long }: ResolvedCompression): string | undefined {
  const parts = [
    ...(level === undefined ? [] : [`level=${level}`]),
    ...(workers === undefined ? [] : [`workers=${workers}`]),
    ...(long ? ['long'] : []),
  ];
  return parts.length === 0 ? undefined : parts.join(',');
}

function refused(problem: string, option = OPTION): ConfigurationError {
  return new ConfigurationError(`${OPTION}: ${problem}`, { option });
}
