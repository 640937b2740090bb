import { DecodeError } from '../errors.js';
import { columnWriter } from '../types/column-writer.js';
import { PackSource } from '../types/pack-source.js';
import { PackWriter } from '../types/pack-writer.js';
import { createRowReader, ROW_HEADER } from '../types/row-reader.js';
import { TypeRules, type TypesMode } from '../types/type-rules.js';
import { UNCHANGED } from '../types/unchanged.js';
import { define, type Row } from './event-json.js';
import type { Relation, RelationColumn } from './relation.js';
import type { Tuple, TupleValue } from './tuple-value.js';

const valueReader = createRowReader(['value']);
/** For values that node-postgres' parsers make. */
const pgValueReader = createRowReader(['value'], {
  parsers: new TypeRules('pg').parsers,
  columnNames: ['value'],
  relation: 'a tuple',
  relationId: 0,
});
const INITIAL_VALUE_BYTES = 256;

/**
 * The row that a `new` or `old` tuple is, with the values that row events have: column values by column name, `null`,
 * and `UNCHANGED` for TOAST values that were not sent (here they are not filled from the old row).
 *
 * @param relation as `decoder.relation(relationId)` gives it right after the message was decoded
 * @throws DecodeError that names the column whose bytes are no value of its type, or when the counts of columns differ
 */
export function rowFromTuple(tuple: Tuple, relation: Relation, types: TypesMode = 'lossless'): Row {
  return rowOf(tuple, relation, types, () => true);
}

/** The same for a `key` tuple: the columns of the replica identity only, since the others are placeholders. */
export function keyFromTuple(tuple: Tuple, relation: Relation, types: TypesMode = 'lossless'): Row {
  return rowOf(tuple, relation, types, (column) => column.isIdentity);
}

function rowOf(tuple: Tuple, relation: Relation, types: TypesMode, has: (column: RelationColumn) => boolean): Row {
  const { id: relationId, columns } = relation;
  if (tuple.length !== columns.length) {
    throw new DecodeError(`tuple of ${tuple.length} columns; its relation has ${columns.length}`, {
      offset: 0,
      relationId,
    });
  }
  const row: Row = {};
  for (const [at, column] of columns.entries()) {
    if (!has(column)) continue;
    const value = tuple[at];
    try {
      define(row, column.name, value === null || value === UNCHANGED ? value : decodeValue(value, column, types));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new DecodeError(`column ${JSON.stringify(column.name)} cannot be decoded`, {
        offset: error.offset,
        relationId,
        cause: error,
      });
    }
  }
  return row;
}

/** By way of a packed row of one column, so that there is one account of types only. */
function decodeValue({ format, bytes }: TupleValue, column: RelationColumn, types: TypesMode): unknown {
  const out = new PackWriter(INITIAL_VALUE_BYTES);
  out.reserve(1);
  out.bytes[out.position++] = ROW_HEADER;
  columnWriter(column.typeOid, format, types)(bytes, 0, bytes.length, out);
  return (types === 'pg' ? pgValueReader : valueReader).read(new PackSource(out.bytes), 0, out.position).value;
}
