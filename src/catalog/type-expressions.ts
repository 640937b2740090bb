import { Oid } from '../types/oids.js';
import { builtinShapeOf, type TypeDescriptor, type TypeShape } from '../types/type-descriptor.js';
import type { TypesMode } from '../types/type-rules.js';

/** What the package exports of the names in expressions. */
export type ImportedName = 'JsonValue' | 'PgInterval' | 'RangeValue' | 'TableType' | 'Unchanged';

/** What expressions need of the database. */
export interface KnownTypes {
  /** Types that are not built in, by OID. */
  readonly types: ReadonlyMap<number, TypeDescriptor>;
  readonly enumLabels: ReadonlyMap<number, readonly string[]>;
}

/** Where an expression may refer to a declaration of its own, and to what the package exports. */
export interface Declarations {
  /** The name of a type that is declared once: an enum or a composite. */
  nameOf(type: TypeDescriptor): string;
  use(name: ImportedName): void;
}

/** Types in types: beyond, the stream gives the server's text. */
const MAX_DEPTH = 32;

/**
 * The TypeScript type of a column's values, as the stream gives them in a mode: the counterpart of the column writers and,
 * for `pg`, of node-postgres' parsers.
 */
export class TypeExpressions {
  readonly #mode: TypesMode;
  readonly #known: KnownTypes;
  readonly #declarations: Declarations;

  constructor(mode: TypesMode, known: KnownTypes, declarations: Declarations) {
    this.#mode = mode;
    this.#known = known;
    this.#declarations = declarations;
  }

  /** `dimensions` as declared, for arrays. NULL is not part of it. */
  of(typeOid: number, dimensions = 1): string {
    return this.#find(typeOid, Math.max(dimensions, 1), 0);
  }

  #find(typeOid: number, dimensions: number, depth: number): string {
    const shape = this.#shapeOf(typeOid);
    if (shape?.kind === 'domain' && depth < MAX_DEPTH) return this.#find(shape.baseOid, dimensions, depth + 1);
    // A label is its own text, whatever the mode.
    if (shape?.kind === 'enum') return this.#declared(typeOid);
    if (this.#mode === 'text') return 'string';
    if (this.#mode === 'pg') return this.#asPg(typeOid, dimensions);
    return depth >= MAX_DEPTH ? 'string' : this.#lossless(typeOid, shape, dimensions, depth + 1);
  }

  #lossless(typeOid: number, shape: TypeShape | undefined, dimensions: number, depth: number): string {
    switch (shape?.kind) {
      case undefined:
        return this.#builtin(LOSSLESS, typeOid);
      case 'array':
        return arrayOf(this.#find(shape.elementOid, 1, depth), dimensions);
      case 'composite':
        return this.#declared(typeOid);
      case 'range':
        return this.#range(shape.subtypeOid, depth);
      case 'multirange': {
        const range = this.#shapeOf(shape.rangeOid);
        return range?.kind === 'range' ? `${this.#range(range.subtypeOid, depth)}[]` : 'string';
      }
      case 'base':
        return shape.send === 'hstore_send' ? 'Record<string, string | null>' : 'string';
      default:
        return 'string';
    }
  }

  #asPg(typeOid: number, dimensions: number): string {
    const element = PG_ARRAYS.get(typeOid);
    if (element === undefined) return this.#builtin(PG, typeOid);
    // Its parser of arrays knows numeric as a number.
    return arrayOf(element === Oid.numeric ? 'number' : this.#builtin(PG, element), dimensions);
  }

  #range(subtypeOid: number, depth: number): string {
    this.#declarations.use('RangeValue');
    return `RangeValue<${this.#find(subtypeOid, 1, depth)}>`;
  }

  #builtin(table: ReadonlyMap<number, string>, typeOid: number): string {
    const expression = table.get(typeOid) ?? 'string';
    if (expression === 'JsonValue' || expression === 'PgInterval') this.#declarations.use(expression);
    return expression;
  }

  #declared(typeOid: number): string {
    const type = this.#known.types.get(typeOid);
    return type === undefined ? 'string' : this.#declarations.nameOf(type);
  }

  #shapeOf(typeOid: number): TypeShape | undefined {
    return this.#known.types.get(typeOid) ?? builtinShapeOf(typeOid);
  }
}

/** Any element may be NULL. */
function arrayOf(element: string, dimensions: number): string {
  return `(${element} | null)${'[]'.repeat(dimensions)}`;
}

const LOSSLESS: ReadonlyMap<number, string> = new Map<number, string>([
  [Oid.bool, 'boolean'],
  [Oid.bytea, 'Buffer'],
  [Oid.int2, 'number'],
  [Oid.int4, 'number'],
  [Oid.int8, 'bigint'],
  [Oid.oid, 'number'],
  [Oid.xid, 'number'],
  [Oid.cid, 'number'],
  [Oid.float4, 'number'],
  [Oid.float8, 'number'],
  [Oid.json, 'JsonValue'],
  [Oid.jsonb, 'JsonValue'],
]);

/** `infinity` is a number to node-postgres. */
const PG_DATE = 'Date | number';
const PG_POINT = '{ x: number; y: number }';

const PG: ReadonlyMap<number, string> = new Map<number, string>([
  [Oid.bool, 'boolean'],
  [Oid.bytea, 'Buffer'],
  [Oid.int2, 'number'],
  [Oid.int4, 'number'],
  [Oid.oid, 'number'],
  [Oid.float4, 'number'],
  [Oid.float8, 'number'],
  [Oid.json, 'JsonValue'],
  [Oid.jsonb, 'JsonValue'],
  [Oid.date, PG_DATE],
  [Oid.timestamp, PG_DATE],
  [Oid.timestamptz, PG_DATE],
  [Oid.interval, 'PgInterval'],
  [Oid.point, PG_POINT],
  [Oid.circle, '{ x: number; y: number; radius: number }'],
]);

/**
 * The arrays that node-postgres parses, and their elements; of others it gives the text.
 *
 * @see https://github.com/brianc/node-pg-types/blob/master/lib/textParsers.js
 */
const PG_ARRAYS: ReadonlyMap<number, number> = new Map(
  [
    [1000, Oid.bool],
    [1001, Oid.bytea],
    [1005, Oid.int2],
    [1007, Oid.int4],
    [1028, Oid.oid],
    [1016, Oid.int8],
    [1017, Oid.point],
    [1021, Oid.float4],
    [1022, Oid.float8],
    [1231, Oid.numeric],
    [651, Oid.cidr],
    [1014, Oid.bpchar],
    [1015, Oid.varchar],
    [1008, Oid.regproc],
    [1009, Oid.text],
    [1040, Oid.macaddr],
    [1041, Oid.inet],
    [1115, Oid.timestamp],
    [1182, Oid.date],
    [1185, Oid.timestamptz],
    [1187, Oid.interval],
    [199, Oid.json],
    [3807, Oid.jsonb],
    [3907, Oid.numrange],
    [2951, Oid.uuid],
    [791, Oid.money],
    [1183, Oid.time],
    [1270, Oid.timetz],
  ].map(([array, element]): [number, number] => [array as number, element as number]),
);
