import type { UNCHANGED } from '../types/unchanged.js';
import type { Row } from './event-json.js';

/*
 * Types alone: what a stream's type parameter makes of its events. Nothing here is left when it runs, and nothing is
 * checked then: validators (`WalStreamOptions.validate`) are for that.
 */

declare const DESCRIPTION: unique symbol;

/** The type of {@link UNCHANGED}, for columns of a row type that an update may leave out of the stream. */
export type Unchanged = typeof UNCHANGED;

/**
 * A table as `pg-walstream types` writes it: its row, as it is in `new` of an update, and the names of its
 * replica-identity columns. Where those are not worth telling, a row type alone describes a table too.
 */
export interface TableType<RowType extends object, Identity extends keyof RowType = never> {
  /** There for the compiler only: no value has it. */
  readonly [DESCRIPTION]: { readonly row: RowType; readonly identity: Identity };
}

/** The tables of a stream that says nothing of them: any name, any row. */
export type AnyTables = object;

/**
 * What the type parameter of a stream may be: row types or {@link TableType} by 'schema.table', spelled as in the
 * catalog. The first dot ends the schema.
 */
export type TableTypes<Tables> = {
  readonly [Name in keyof Tables]: Name extends `${string}.${string}` ? object : never;
};

/** The types of the events of one table. */
export interface TableShape {
  /** As in the catalog. */
  readonly schema: string;
  /** As in the catalog. */
  readonly table: string;
  /** `new` of an insert. */
  readonly inserted: object;
  /** `new` of an update. */
  readonly updated: object;
  /** `old`. */
  readonly stored: object;
  /** `key`: the columns of the replica identity. */
  readonly key: object;
  /** `identity`: the same columns. */
  readonly identity: object;
}

/** Events of a table of which nothing is known. */
export interface AnyTable extends TableShape {
  readonly inserted: Row;
  readonly updated: Row;
  readonly stored: Row;
  readonly key: Row;
  readonly identity: Row;
}

/** Written out as a mapped type, so that an interface is given where {@link Row} is taken. */
type Plain<RowType> = { [Column in keyof RowType]: RowType[Column] };

/** Inserts, and rows from before a change, are always whole. */
type Whole<RowType> = { [Column in keyof RowType]: Exclude<RowType[Column], Unchanged> };

type Picked<RowType, Columns> = {
  [Column in keyof RowType as Column extends Columns ? Column : never]: Exclude<RowType[Column], Unchanged>;
};

interface DescribedTable<Schema extends string, Table extends string, RowType, Identity extends object>
  extends TableShape {
  readonly schema: Schema;
  readonly table: Table;
  readonly inserted: Whole<RowType>;
  readonly updated: Plain<RowType>;
  readonly stored: Whole<RowType>;
  readonly key: Identity;
  readonly identity: Identity;
}

type ShapeOf<Name, Described> = Name extends `${infer Schema}.${infer Table}`
  ? Described extends TableType<infer RowType, infer Identity>
    ? DescribedTable<Schema, Table, RowType, Picked<RowType, Identity>>
    : DescribedTable<Schema, Table, Described, Partial<Whole<Described>>>
  : never;

/** The shapes of a stream's tables, a union. */
export type TableShapes<Tables extends object> = [keyof Tables] extends [never]
  ? AnyTable
  : { [Name in keyof Tables]: ShapeOf<Name, Tables[Name]> }[keyof Tables];
