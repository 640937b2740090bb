import { ConfigurationError } from '../errors.js';
import type { PublishedAction } from '../index.js';
import { Lsn } from '../lsn.js';
import { parseTableName, type TableName } from './table-name.js';

/** How the text of a flag becomes its value; `undefined` for what it is not. */
export interface FlagValue<T> {
  readonly parse: (text: string) => T | undefined;
  readonly expected: string;
}

export const LSN_VALUE: FlagValue<bigint> = {
  expected: 'a position X/Y such as 16/B374D848',
  parse: (text) => {
    try {
      return Lsn.parse(text);
    } catch (error) {
      if (error instanceof ConfigurationError) return undefined;
      throw error;
    }
  },
};

export const COUNT_VALUE: FlagValue<number> = {
  expected: 'a whole number from 1',
  parse: (text) => {
    const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
    return count >= 1 ? count : undefined;
  },
};

export const PROTO_VERSION_VALUE: FlagValue<1 | 2 | 3 | 4> = {
  expected: 'a version from 1 to 4',
  parse: (text) => ([1, 2, 3, 4] as const).find((version) => String(version) === text),
};

export const TABLE_VALUE: FlagValue<TableName> = { expected: 'schema.table', parse: parseTableName };

export const PUBLISHED_ACTION_VALUE: FlagValue<PublishedAction> = {
  expected: 'insert, update, delete or truncate',
  parse: (text) => (['insert', 'update', 'delete', 'truncate'] as const).find((action) => action === text),
};
