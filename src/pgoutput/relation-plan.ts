import { DecodeError } from '../errors.js';
import { type ColumnFormat, type ColumnWriter, ColumnWriters } from '../types/column-writer.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import { type TypeRules, type TypesMode, typeRulesFrom } from '../types/type-rules.js';
import type { Relation, RelationVersion } from './relation.js';

/** How the columns of one relation version are packed: looked up once, used for every row. */
export interface RelationPlan {
  readonly version: RelationVersion;
  readonly textWriters: readonly ColumnWriter[];
  readonly binaryWriters: readonly ColumnWriter[];
  /** 1 where the column belongs to the replica identity. */
  readonly identity: Uint8Array;
}

/** `version` then also reads its rows by the same rules. */
export function planRelation(
  version: RelationVersion,
  types: TypesMode | TypeRules,
  descriptors: readonly TypeDescriptor[] = [],
): RelationPlan {
  const { relation } = version;
  const rules = typeRulesFrom(types);
  version.useTypes(rules, descriptors);
  const writers = new ColumnWriters(rules, descriptors);
  return {
    version,
    textWriters: columnWriters(relation, writers, 'text', rules.callModules),
    binaryWriters: columnWriters(relation, writers, 'binary', rules.callModules),
    identity: Uint8Array.from(relation.columns, (column) => (column.isIdentity ? 1 : 0)),
  };
}

function columnWriters(
  { columns }: Relation,
  writers: ColumnWriters,
  format: ColumnFormat,
  callModules: boolean,
): ColumnWriter[] {
  return columns.map(({ typeOid }) => {
    const writer = writers.writer(typeOid, format);
    return callModules ? guardedWriter(writer) : writer;
  });
}

/** A user's module may throw anything, which may hold the value: it is the cause, and no part of the message. */
function guardedWriter(writer: ColumnWriter): ColumnWriter {
  return (source, start, end, out) => {
    try {
      writer(source, start, end, out);
    } catch (error) {
      if (error instanceof DecodeError) throw error;
      throw new DecodeError('its parser module failed', { offset: start, cause: error });
    }
  };
}
