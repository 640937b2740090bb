import { wrong } from '../errors/option-checks.js';
import type { DeleteMessage, InsertMessage, UpdateMessage } from '../pgoutput/pgoutput-message.js';
import type { Relation, RelationColumn, ReplicaIdentity } from '../pgoutput/relation.js';
import { type Tuple, TupleValue } from '../pgoutput/tuple-value.js';
import { Oid } from '../types/oids.js';
import { UNCHANGED } from '../types/unchanged.js';
import type { SingleChange } from './tape-change.js';

/**
 * A type by its name, such as `int8`, or by its OID.
 *
 * @useDeclaredType
 */
export type TapeType = keyof typeof Oid | number;

/** A published table. */
export interface RelationDefinition {
  /** Default `public`. */
  readonly schema?: string;
  /** As in a catalog, unquoted. */
  readonly table: string;
  /** Type of each column, by its name, in the table's order. */
  readonly columns: Readonly<Record<string, TapeType>>;
  /** The columns of the replica identity. */
  readonly key?: readonly string[];
  /** Default: `default` with a key, else `nothing`. */
  readonly replicaIdentity?: ReplicaIdentity;
}

/**
 * A value of a row: text as the server writes it, or a value whose text is plain. Buffers are bytea, objects and
 * arrays JSON; a `TupleValue` is taken as it is.
 */
export type TapeValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | TupleValue
  | typeof UNCHANGED
  | object;

/** Values by column name; a column that is left out is null. */
export type TapeRow = Readonly<Record<string, TapeValue>>;

/** A table of a {@link WalTape}, and what happens to its rows. */
export class TapeRelation implements Relation {
  /** Its OID. */
  readonly id: number;
  /** As in a catalog, unquoted. */
  readonly schema: string;
  /** As in a catalog, unquoted. */
  readonly table: string;
  /** What is sent of rows before a change. */
  readonly replicaIdentity: ReplicaIdentity;
  /** In the table's order. */
  readonly columns: readonly RelationColumn[];
  readonly #definition: RelationDefinition;

  /** @internal */
  constructor(id: number, definition: RelationDefinition) {
    const { schema = 'public', table, columns, key = [] } = definition;
    const { replicaIdentity = key.length > 0 ? 'default' : 'nothing' } = definition;
    if (typeof table !== 'string' || table === '') throw wrong('table', 'must be a name');
    if (typeof columns !== 'object' || columns === null) throw wrong('columns', 'must be types by column name');
    for (const name of key) if (!Object.hasOwn(columns, name)) throw wrong('key', `names no column: ${name}`);
    this.id = id;
    this.schema = schema;
    this.table = table;
    this.replicaIdentity = replicaIdentity;
    this.columns = Object.entries(columns).map(([name, type]) => ({
      name,
      typeOid: typeOid(type, name),
      typeModifier: -1,
      isIdentity: replicaIdentity === 'full' || key.includes(name),
    }));
    this.#definition = definition;
  }

  /** The same table after an ALTER TABLE. */
  altered(change: Partial<RelationDefinition>): TapeRelation {
    return new TapeRelation(this.id, { ...this.#definition, ...change });
  }

  /** An INSERT of one row. ConfigurationError for a column that the table does not have. */
  insert(row: TapeRow): SingleChange {
    return this.#change({ kind: 'insert', relationId: this.id, new: this.#tuple(row, false) });
  }

  /** `before`: the key when it changed; under REPLICA IDENTITY FULL the whole row, which is then needed. */
  update(row: TapeRow, before?: TapeRow): SingleChange {
    return this.#change({
      kind: 'update',
      relationId: this.id,
      ...(before !== undefined && this.#before(before)),
      new: this.#tuple(row, false),
    });
  }

  /** `before`: the key, or under REPLICA IDENTITY FULL the whole row. */
  delete(before: TapeRow): SingleChange {
    return this.#change({ kind: 'delete', relationId: this.id, ...this.#before(before) });
  }

  #before(row: TapeRow): { readonly key: Tuple } | { readonly old: Tuple } {
    return this.replicaIdentity === 'full' ? { old: this.#tuple(row, false) } : { key: this.#tuple(row, true) };
  }

  #change(message: InsertMessage | UpdateMessage | DeleteMessage): SingleChange {
    return { kind: 'change', relations: [this], message };
  }

  #tuple(row: TapeRow, keyOnly: boolean): Tuple {
    for (const name of Object.keys(row)) {
      if (!this.columns.some((column) => column.name === name)) throw wrong(`row.${name}`, 'is no column');
    }
    return this.columns.map((column) => {
      if (keyOnly && !column.isIdentity) return null;
      return tupleValue(Object.hasOwn(row, column.name) ? row[column.name] : null, column.name);
    });
  }
}

function typeOid(type: TapeType, column: string): number {
  if (typeof type === 'number' && Number.isInteger(type) && type > 0) return type;
  if (typeof type === 'string' && Object.hasOwn(Oid, type)) return Oid[type];
  throw wrong(`columns.${column}`, 'must be the name of a built-in type, or an OID');
}

function tupleValue(value: TapeValue | undefined, column: string): Tuple[number] {
  if (value === null || value === undefined) return null;
  if (value === UNCHANGED || value instanceof TupleValue) return value;
  return TupleValue.fromText(serverText(value, column));
}

/** What the server sends of it in text format. */
function serverText(value: Exclude<TapeValue, null | TupleValue>, column: string): string {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
    case 'bigint':
      return String(value);
    case 'boolean':
      return value ? 't' : 'f';
    case 'object':
      if (value instanceof Date) return value.toISOString().replace('T', ' ').replace('Z', '+00');
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
      return JSON.stringify(value);
    default:
      throw wrong(`row.${column}`, 'has no text');
  }
}
