import { Oid } from '../../src/types/oids.js';
import { UNCHANGED } from '../../src/types/unchanged.js';
import * as wire from '../support/pgoutput-bytes.js';
import fc from '../support/properties.js';

/*
 * Random streams of protocol 1 together with the events that they are, by an account that shares nothing with the
 * decoder.
 */

/** An event as `toObject()` shows it, without `relation`, and its unit of acknowledgement. */
export type ExpectedEvent = Readonly<Record<string, unknown>>;

export interface ModelStream {
  /** XLogData messages, framed. */
  readonly frames: readonly Buffer[];
  readonly events: readonly ExpectedEvent[];
  /** Ends of the units of acknowledgement, in order. */
  readonly unitEnds: readonly bigint[];
}

type StepKind =
  | 'insert'
  | 'update'
  | 'update-key'
  | 'update-old'
  | 'delete-key'
  | 'delete-old'
  | 'truncate'
  | 'message'
  | 'describe'
  | 'alter'
  | 'type'
  | 'origin'
  | 'commit'
  | 'standalone';

interface Step {
  readonly kind: StepKind;
  readonly table: number;
  readonly values: readonly string[];
  readonly size: number;
}

interface Table {
  readonly id: number;
  readonly name: string;
  /** Counts its alterations: each adds a column or takes the added ones away. */
  version: number;
}

const TABLES = 3;
const COLUMN_NAMES = ['id', '__proto__', '1', 'note', 'größe', 'toString'];
const FIRST_XID = 700;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    {
      weight: 12,
      arbitrary: fc.constantFrom<StepKind>(
        'insert',
        'insert',
        'update',
        'update-key',
        'update-old',
        'delete-key',
        'delete-old',
      ),
    },
    {
      weight: 8,
      arbitrary: fc.constantFrom<StepKind>(
        'truncate',
        'message',
        'describe',
        'alter',
        'type',
        'origin',
        'commit',
        'commit',
        'standalone',
      ),
    },
  ),
  table: fc.nat(TABLES - 1),
  values: fc.array(fc.string({ unit: fc.constantFrom('a', '0', 'é', '😀', '\\', '"', '\n'), maxLength: 8 }), {
    minLength: COLUMN_NAMES.length,
    maxLength: COLUMN_NAMES.length,
  }),
  size: fc.nat(40),
});

/** Streams of up to `maxSteps` messages, about. */
export function modelStream(maxSteps: number): fc.Arbitrary<ModelStream> {
  return fc.array(step, { maxLength: maxSteps, size: 'max' }).map(streamOf);
}

class StreamBuilder {
  readonly frames: Buffer[] = [];
  readonly events: ExpectedEvent[] = [];
  readonly unitEnds: bigint[] = [];
  readonly #tables: Table[] = Array.from({ length: TABLES }, (_, at) => ({
    id: 16400 + at,
    name: `t${at}`,
    version: 0,
  }));
  readonly #described = new Set<Table>();
  #lsn = 0x1_0000_0000n;
  #xid = FIRST_XID;
  #commitLsn: bigint | undefined;
  #ordinal = 0;

  add({ kind, table: tableAt, values, size }: Step): void {
    const table = this.#tables[tableAt];
    const [text] = values;
    if (kind === 'commit' || kind === 'standalone') this.commit();
    else this.#begin();
    switch (kind) {
      case 'commit':
        break;
      case 'standalone':
      case 'message':
        this.#message(kind === 'message', text);
        break;
      case 'describe':
        this.#describe(table);
        break;
      case 'alter':
        table.version++;
        this.#describe(table);
        break;
      case 'type': {
        const type = { id: 90_000 + size, schema: 's', name: text };
        this.#push(0n, wire.type(type), { kind, ...type });
        break;
      }
      case 'origin':
        this.#push(0n, wire.origin({ originLsn: 5n, name: text }), { kind, name: text, originLsn: 5n });
        break;
      case 'truncate':
        this.#truncate(this.#tables.slice(0, tableAt + 1));
        break;
      default:
        this.#change(kind, table, { values, size });
    }
  }

  commit(): void {
    if (this.#commitLsn === undefined) return;
    const commitLsn = this.#commitLsn;
    const commitEndLsn = commitLsn + 0x30n;
    this.#push(commitEndLsn, wire.commit({ commitLsn, commitEndLsn }), {
      kind: 'commit',
      lsn: commitEndLsn,
      commitLsn,
      commitEndLsn,
      xid: this.#xid,
      commitTime: new Date(Date.UTC(2000, 0, 1)),
      unit: this.unitEnds.length,
    });
    this.unitEnds.push(commitEndLsn);
    this.#commitLsn = undefined;
    this.#lsn = commitEndLsn;
  }

  #begin(): void {
    if (this.#commitLsn !== undefined) return;
    this.#xid++;
    this.#ordinal = 0;
    this.#lsn += 8n;
    this.#commitLsn = this.#lsn + 0x100_0000n;
    this.#push(this.#lsn, wire.begin({ commitLsn: this.#commitLsn, xid: this.#xid }), {
      kind: 'begin',
      lsn: this.#lsn,
      xid: this.#xid,
      commitLsn: this.#commitLsn,
      commitTime: new Date(Date.UTC(2000, 0, 1)),
    });
  }

  #message(transactional: boolean, prefix: string): void {
    this.#lsn += 8n;
    const lsn = this.#lsn;
    const content = Buffer.from(prefix.repeat(3));
    this.#push(lsn, wire.message({ transactional, lsn, prefix, content }), {
      kind: 'message',
      lsn,
      commitLsn: transactional ? this.#commitLsn : undefined,
      xid: transactional ? this.#xid : undefined,
      prefix,
      content,
      transactional,
      unit: transactional ? undefined : this.unitEnds.length,
    });
    if (!transactional) this.unitEnds.push(lsn);
  }

  #columns(table: Table): wire.ColumnBytes[] {
    const count = 2 + (table.version % (COLUMN_NAMES.length - 1));
    return COLUMN_NAMES.slice(0, count).map((name, at) => ({
      name,
      typeOid: at === 0 ? Oid.int4 : Oid.text,
      isIdentity: at < 2,
    }));
  }

  #describe(table: Table): void {
    this.#described.add(table);
    this.#push(0n, wire.relation({ id: table.id, schema: 's', table: table.name, columns: this.#columns(table) }), {
      kind: 'relation',
      schema: 's',
      table: table.name,
    });
  }

  #truncate(tables: readonly Table[]): void {
    for (const table of tables) if (!this.#described.has(table)) this.#describe(table);
    this.#lsn += 8n;
    this.#push(
      this.#lsn,
      wire.truncate(
        tables.map(({ id }) => id),
        { cascade: true },
      ),
      {
        kind: 'truncate',
        lsn: this.#lsn,
        commitLsn: this.#commitLsn,
        xid: this.#xid,
        ordinal: this.#ordinal++,
        relations: tables.map(({ name }) => ({ schema: 's', table: name })),
        cascade: true,
        restartIdentity: false,
      },
    );
  }

  #change(kind: StepKind, table: Table, { values, size }: Pick<Step, 'values' | 'size'>): void {
    if (!this.#described.has(table)) this.#describe(table);
    const columns = this.#columns(table);
    const cells = columns.map((_, at): wire.Cell => (at === 0 ? String(size) : values[at].repeat(size)));
    const newCells = kind === 'insert' ? cells : cells.with(-1, UNCHANGED);
    // Of the replica identity in a key, of every column in an old row; others are placeholders there.
    const keyCells = cells.map((cell, at) => (at < 2 ? cell : null));
    const row = this.#row(columns, newCells);
    const old = this.#row(columns, cells);
    const key = this.#row(columns.slice(0, 2), cells);
    this.#lsn += 8n;
    const position = {
      schema: 's',
      table: table.name,
      lsn: this.#lsn,
      xid: this.#xid,
      commitLsn: this.#commitLsn,
      ordinal: this.#ordinal++,
    };
    switch (kind) {
      case 'insert':
        this.#push(this.#lsn, wire.insert(table.id, newCells), {
          kind: 'insert',
          ...position,
          new: row,
          identity: this.#row(columns.slice(0, 2), newCells),
        });
        break;
      case 'update':
        this.#push(this.#lsn, wire.update(table.id, newCells), {
          kind: 'update',
          ...position,
          new: row,
          old: undefined,
          key: undefined,
          identity: this.#row(columns.slice(0, 2), newCells),
        });
        break;
      case 'update-key':
        this.#push(this.#lsn, wire.update(table.id, newCells, { key: keyCells }), {
          kind: 'update',
          ...position,
          new: row,
          old: undefined,
          key,
          identity: key,
        });
        break;
      case 'update-old':
        this.#push(this.#lsn, wire.update(table.id, newCells, { old: cells }), {
          kind: 'update',
          ...position,
          // Filled from the old row.
          new: old,
          old,
          key: undefined,
          identity: old,
        });
        break;
      case 'delete-key':
        this.#push(this.#lsn, wire.deleteRow(table.id, { key: keyCells }), {
          kind: 'delete',
          ...position,
          old: undefined,
          key,
          identity: key,
        });
        break;
      default:
        this.#push(this.#lsn, wire.deleteRow(table.id, { old: cells }), {
          kind: 'delete',
          ...position,
          old,
          key: undefined,
          identity: old,
        });
    }
  }

  #row(columns: readonly wire.ColumnBytes[], cells: readonly wire.Cell[]): Record<string, unknown> {
    return Object.fromEntries(columns.map(({ name }, at) => [name, at === 0 ? Number(cells[at]) : cells[at]]));
  }

  #push(lsn: bigint, payload: Buffer, event: ExpectedEvent): void {
    this.frames.push(wire.xLogData(lsn, payload));
    this.events.push(event);
  }
}

function streamOf(steps: readonly Step[]): ModelStream {
  const builder = new StreamBuilder();
  for (const next of steps) builder.add(next);
  const { frames, events, unitEnds } = builder;
  return { frames, events, unitEnds };
}
