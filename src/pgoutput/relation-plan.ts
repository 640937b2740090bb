import { type ColumnWriter, columnWriter, type TypesMode } from '../types/column-writer.js';
import type { RelationVersion } from './relation.js';

/** How the columns of one relation version are packed: looked up once, used for every row. */
export interface RelationPlan {
  readonly version: RelationVersion;
  readonly textWriters: readonly ColumnWriter[];
  readonly binaryWriters: readonly ColumnWriter[];
  /** 1 where the column belongs to the replica identity. */
  readonly identity: Uint8Array;
}

export function planRelation(version: RelationVersion, types: TypesMode): RelationPlan {
  const { columns } = version.relation;
  return {
    version,
    textWriters: columns.map((column) => columnWriter(column.typeOid, 'text', types)),
    binaryWriters: columns.map((column) => columnWriter(column.typeOid, 'binary', types)),
    identity: Uint8Array.from(columns, (column) => (column.isIdentity ? 1 : 0)),
  };
}
