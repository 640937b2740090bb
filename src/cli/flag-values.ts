import { isAbsolute } from 'node:path';
import { MAX_TIMER_MS, MAX_WORKERS } from '../errors/option-checks.js';
import { ConfigurationError } from '../errors.js';
import type { PublishedAction } from '../index.js';
import { Lsn } from '../lsn.js';
import { checkSlotName } from '../protocol/quoting.js';
import { parseTableName, type TableName } from './table-name.js';

/** How the text of a flag becomes its value; `undefined` for what it is not. */
export interface FlagValue<T> {
  readonly parse: (text: string) => T | undefined;
  readonly expected: string;
}

export const LSN_VALUE: FlagValue<bigint> = {
  expected: 'a position X/Y such as 16/B374D848',
  parse: (text) => unlessWrong(() => Lsn.parse(text)),
};

export const SLOT_NAME_VALUE: FlagValue<string> = {
  expected: '1 to 63 lower-case letters, digits and underscores',
  parse: (text) =>
    unlessWrong(() => {
      checkSlotName(text, 'slot');
      return text;
    }),
};

function unlessWrong<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ConfigurationError) return undefined;
    throw error;
  }
}

export const COUNT_VALUE: FlagValue<number> = {
  expected: 'a whole number from 1',
  parse: (text) => {
    const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
    return count >= 1 ? count : undefined;
  },
};

function countUpTo(max: number): FlagValue<number> {
  return {
    expected: `a whole number from 1 to ${max}`,
    parse: (text) => {
      const count = COUNT_VALUE.parse(text);
      return count !== undefined && count <= max ? count : undefined;
    },
  };
}

/** As long as a timer can wait. */
export const SECONDS_VALUE = countUpTo(Math.floor(MAX_TIMER_MS / 1_000));
/** Of the demo; each has a connection to a small server. */
export const WRITERS_VALUE = countUpTo(24);
export const WORKERS_VALUE = countUpTo(MAX_WORKERS);

export const PROTO_VERSION_VALUE: FlagValue<1 | 2 | 3 | 4> = {
  expected: 'a version from 1 to 4',
  parse: (text) => ([1, 2, 3, 4] as const).find((version) => String(version) === text),
};

export const TABLE_VALUE: FlagValue<TableName> = { expected: 'schema.table', parse: parseTableName };

export const PUBLISHED_ACTION_VALUE: FlagValue<PublishedAction> = {
  expected: 'insert, update, delete or truncate',
  parse: (text) => (['insert', 'update', 'delete', 'truncate'] as const).find((action) => action === text),
};

/** As pg_basebackup's: whole words, or their first letters. */
function oneOfWords<T extends string>(words: readonly T[]): FlagValue<T> {
  return {
    expected: words.map((word) => `${word} (${word[0]})`).join(', '),
    parse: (text) => words.find((word) => text === word || text === word[0]),
  };
}

export const BACKUP_FORMAT_VALUE: FlagValue<'plain' | 'tar'> = oneOfWords(['plain', 'tar']);
export const WAL_METHOD_VALUE: FlagValue<'stream' | 'fetch' | 'none'> = oneOfWords(['stream', 'fetch', 'none']);

const RATE_UNITS_KB: Readonly<Record<string, number>> = { '': 1, k: 1, M: 1024 };

/** As pg_basebackup's --max-rate: kB per second, or MB with `M`. The bounds are the server's. */
export const RATE_KB_VALUE: FlagValue<number> = {
  expected: 'kB per second from 32, or MB with M, to 1024M',
  parse: (text) => {
    const match = /^(\d{1,7})([kM]?)$/.exec(text);
    const rate = Number(match?.[1]) * (RATE_UNITS_KB[match?.[2] ?? ''] ?? 0);
    return rate >= 32 && rate <= 1_048_576 ? rate : undefined;
  },
};

/** A folder on the server and where it goes. */
export interface PathMapping {
  readonly from: string;
  readonly to: string;
}

/** As pg_basebackup's --tablespace-mapping: an `=` in a path is written `\=`. */
export const PATH_MAPPING_VALUE: FlagValue<PathMapping> = {
  expected: 'OLD=NEW, both absolute paths',
  parse: (text) => {
    const parts = text.split(/(?<!\\)=/).map((part) => part.replaceAll('\\=', '='));
    const [from = '', to = ''] = parts;
    return parts.length === 2 && isAbsolute(from) && isAbsolute(to) ? { from, to } : undefined;
  },
};
