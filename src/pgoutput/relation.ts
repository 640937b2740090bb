import { DecodeError } from '../errors.js';
import { ByteReader } from '../protocol/byte-reader.js';
import { createRowReader, type Deferral, type RowReader } from '../types/row-reader.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import type { TypeRules } from '../types/type-rules.js';
import { type Flagged, withFlags } from './flags.js';

/** Which columns identify a row in Update and Delete: `pg_class.relreplident`. */
export type ReplicaIdentity = 'default' | 'nothing' | 'full' | 'index';

/** A published column of a table; those outside of a publication's column list are not sent. */
export interface RelationColumn extends Flagged {
  /** As in pg_attribute, unquoted. */
  readonly name: string;
  /** OID of the column's type; of the domain when it is one. */
  readonly typeOid: number;
  /** `atttypmod`; -1 when the type has none. */
  readonly typeModifier: number;
  /** Whether the column belongs to the replica identity. */
  readonly isIdentity: boolean;
}

/** A published table as a Relation message describes it. */
export interface Relation {
  /** The table's OID. */
  readonly id: number;
  /** As in the catalog, unquoted. */
  readonly schema: string;
  /** As in the catalog, unquoted; of a partition the partition, unless the publication publishes the root. */
  readonly table: string;
  /** What the server sends of rows before a change. */
  readonly replicaIdentity: ReplicaIdentity;
  /** In the table's order. */
  readonly columns: readonly RelationColumn[];
}

export const REPLICA_IDENTITIES: Readonly<Record<number, ReplicaIdentity>> = {
  100: 'default', // d
  110: 'nothing', // n
  102: 'full', // f
  105: 'index', // i
};

export const IDENTITY_FLAG = 1;

/**
 * Relation: 'R' id:Int32 namespace:String name:String replicaIdentity:Int8 columnCount:Int16
 *           (flags:Int8 name:String typeOid:Int32 typeModifier:Int32)*
 *
 * `[start, end)` begins at the tag. The namespace of `pg_catalog` is sent as an empty string.
 */
export function parseRelation(bytes: Buffer, start: number, end: number): Relation {
  const reader = new ByteReader(bytes, start + 1, end);
  const id = reader.uint32();
  const schema = reader.cString() || 'pg_catalog';
  const table = reader.cString();
  const identityOffset = reader.offset;
  const replicaIdentity = REPLICA_IDENTITIES[reader.uint8()];
  if (replicaIdentity === undefined) {
    throw new DecodeError('unknown replica identity', { offset: identityOffset, tag: 'R', relationId: id });
  }
  const columns: RelationColumn[] = [];
  for (let count = reader.uint16(); count > 0; count--) {
    const flags = reader.uint8();
    const name = reader.cString();
    const typeOid = reader.uint32();
    const column = { name, typeOid, typeModifier: reader.int32(), isIdentity: (flags & IDENTITY_FLAG) !== 0 };
    columns.push(withFlags(column, flags & ~IDENTITY_FLAG));
  }
  reader.expectEnd();
  return { id, schema, table, replicaIdentity, columns };
}

/**
 * A relation as it was described from one Relation message until the next. Rows are decoded with the version in
 * force where they stand in the stream, so versions are carried along with batches.
 */
export class RelationVersion {
  readonly version: number;
  readonly relation: Relation;
  /** The Relation message, for threads that have not seen it. */
  readonly message: Uint8Array;
  #rowReader: RowReader | undefined;
  #keyReader: RowReader | undefined;
  #rules: TypeRules | undefined;
  #types: readonly TypeDescriptor[] | undefined;

  constructor(version: number, message: Uint8Array) {
    this.version = version;
    this.message = message;
    const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
    this.relation = parseRelation(bytes, 0, bytes.length);
  }

  /** Types of its columns, and those these are made of, as far as they are not built in; undefined until known. */
  get types(): readonly TypeDescriptor[] | undefined {
    return this.#types;
  }

  /** Said before rows are decoded; again when the types are known better. */
  useTypes(rules: TypeRules, types: readonly TypeDescriptor[]): void {
    this.#rules = rules;
    this.#types = types;
  }

  /** Reads packed rows of all columns. */
  get rowReader(): RowReader {
    this.#rowReader ??= this.#createReader(this.relation.columns);
    return this.#rowReader;
  }

  /** Reads packed keys: the columns of the replica identity only. */
  get keyReader(): RowReader {
    this.#keyReader ??= this.#createReader(this.relation.columns.filter((column) => column.isIdentity));
    return this.#keyReader;
  }

  #createReader(columns: readonly RelationColumn[]): RowReader {
    const names = columns.map((column) => column.name);
    return createRowReader(names, this.#rules?.defer ? this.#deferral(this.#rules, columns) : undefined);
  }

  #deferral(rules: TypeRules, columns: readonly RelationColumn[]): Deferral {
    const { id, schema, table } = this.relation;
    return {
      parsers: rules.parsers,
      columnNames: columns.filter(({ typeOid }) => rules.mayDefer(typeOid)).map((column) => column.name),
      relation: `${schema}.${table}`,
      relationId: id,
    };
  }
}
