import { builtinNameOf } from '../types/oids.js';
import type { TypeDescriptor } from '../types/type-descriptor.js';
import type { TypesMode } from '../types/type-rules.js';
import type { QueryOptions, SqlSession } from './sql-session.js';
import {
  readEnumLabels,
  readTables,
  type TableColumn,
  type TableDescription,
  type TableSelection,
} from './table-catalog.js';
import { canLeaveRow } from './toastable.js';
import { readTypes } from './type-catalog.js';
import { type Declarations, type ImportedName, type KnownTypes, TypeExpressions } from './type-expressions.js';

/** Which tables to write types of, and for streams with which `types`. */
export interface TableTypesRequest extends TableSelection {
  /** The `types` of the stream that they are for. */
  readonly mode: TypesMode;
}

/** A TypeScript module that declares the row types of tables. */
export interface TableTypesModule {
  /** Its text: exports `Tables`, and imports only types. */
  readonly source: string;
  /** How many are in it. */
  readonly tables: number;
  /** `schema.table` of what has no name in it: a schema with a dot could not be told from its table. */
  readonly leftOut: readonly string[];
}

/**
 * Writes the row types of tables as the catalog has them now, for the type parameter of `WalStream`: as a stream without
 * overrides and with text transfer gives them. Binary transfer gives the same, except a Buffer for types whose binary form
 * nobody knows.
 *
 * @throws ConfigurationError for a publication or table that is not there
 */
export async function writeTableTypes(
  session: SqlSession,
  request: TableTypesRequest,
  options?: QueryOptions,
): Promise<TableTypesModule> {
  const tables = await readTables(session, request, options);
  const oids = new Set(tables.flatMap(({ columns }) => columns.map(({ typeOid }) => typeOid)));
  const unknown = [...oids].filter((oid) => builtinNameOf(oid) === undefined);
  const types = await readTypes(session, unknown, options);
  const enums = types.filter(({ kind }) => kind === 'enum').map(({ oid }) => oid);
  const enumLabels = await readEnumLabels(session, enums, options);
  return new ModuleWriter(request.mode, { types: new Map(types.map((type) => [type.oid, type])), enumLabels }).write(
    tables,
  );
}

/** Names that the module uses for something else. */
const TAKEN_NAMES = [
  'Tables',
  'Buffer',
  'Date',
  'Record',
  'JsonValue',
  'PgInterval',
  'RangeValue',
  'TableType',
  'Unchanged',
];

class ModuleWriter implements Declarations {
  readonly #mode: TypesMode;
  readonly #known: KnownTypes;
  readonly #expressions: TypeExpressions;
  readonly #imported = new Set<ImportedName>();
  readonly #taken = new Set(TAKEN_NAMES);
  /** Of enums and composites, by OID; their text is known when it is asked for. */
  readonly #names = new Map<number, string>();
  readonly #declarations: string[] = [];

  constructor(mode: TypesMode, known: KnownTypes) {
    this.#mode = mode;
    this.#known = known;
    this.#expressions = new TypeExpressions(mode, known, this);
  }

  write(all: readonly TableDescription[]): TableTypesModule {
    const tables = all.filter(({ schema }) => !schema.includes('.'));
    const leftOut = all.filter((table) => !tables.includes(table)).map(({ schema, table }) => `${schema}.${table}`);
    // Tables come first to their names, whatever types are called.
    const named = tables.map((table) => ({ table, name: this.#newName(table.schema, table.table) }));
    const interfaces = named.map(({ table, name }) => this.#table(table, name));
    const entries = named.map(
      ({ table, name }) => `  ${literal(`${table.schema}.${table.table}`)}: ${this.#entry(table, name)};\n`,
    );
    const notes = leftOut.map(
      (name) => `// Left out, because a schema with a dot cannot be named: ${onOneLine(name)}\n`,
    );
    const head = `// Written by \`pg-walstream types\` for streams with types: '${this.#mode}'. Write it again when tables have changed.\n`;
    const imports = [...this.#imported].sort().join(', ');
    const source = [
      `${head}${notes.join('')}${imports === '' ? '' : `import type { ${imports} } from 'pg-walstream';\n`}`,
      ...this.#declarations,
      ...interfaces,
      `/** The tables, for \`new WalStream<Tables>(...)\`. */\nexport interface Tables {\n${entries.join('')}}\n`,
    ].join('\n');
    return { source, tables: tables.length, leftOut };
  }

  use(name: ImportedName): void {
    this.#imported.add(name);
  }

  nameOf(type: TypeDescriptor): string {
    const known = this.#names.get(type.oid);
    if (known !== undefined) return known;
    const name = this.#newName(type.schema, type.name);
    this.#names.set(type.oid, name);
    if (type.kind === 'enum') {
      const labels = this.#known.enumLabels.get(type.oid) ?? [];
      this.#declarations.push(`export type ${name} = ${labels.map(literal).join(' | ') || 'never'};\n`);
    } else if (type.kind === 'composite') {
      const fields = type.fields.map(
        (field) => `  ${property(field.name)}: ${this.#expressions.of(field.typeOid)} | null;\n`,
      );
      this.#declarations.push(`export interface ${name} {\n${fields.join('')}}\n`);
    }
    return name;
  }

  #table(table: TableDescription, name: string): string {
    return `export interface ${name} {\n${table.columns.map((column) => this.#column(column, table)).join('')}}\n`;
  }

  #column(column: TableColumn, { identityIsFull }: TableDescription): string {
    const alternatives = [this.#expressions.of(column.typeOid, column.dimensions)];
    if (column.nullable) alternatives.push('null');
    // The old row fills in what the new one leaves out.
    if (column.toastable && !identityIsFull && canLeaveRow(column.typeOid, column.typeModifier)) {
      this.use('Unchanged');
      alternatives.push('Unchanged');
    }
    const comment = onOneLine(`${column.typeName}${column.generated ? ', generated' : ''}`);
    return `  /** ${comment} */\n  ${property(column.name)}: ${alternatives.join(' | ')};\n`;
  }

  #entry({ columns }: TableDescription, name: string): string {
    this.use('TableType');
    const identity = columns.filter(({ inIdentity }) => inIdentity).map((column) => literal(column.name));
    return identity.length === 0 ? `TableType<${name}>` : `TableType<${name}, ${identity.join(' | ')}>`;
  }

  /** `Orders` of public.orders, `SalesOrders` of sales.orders; numbered where that is somebody's already. */
  #newName(schema: string, name: string): string {
    const wanted = pascalCase(schema === 'public' ? name : `${schema} ${name}`);
    let free = wanted;
    for (let number = 2; this.#taken.has(free); number++) free = `${wanted}${number}`;
    this.#taken.add(free);
    return free;
  }
}

function pascalCase(text: string): string {
  const words = text.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '');
  const name = words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('');
  return /^\p{ID_Start}\p{ID_Continue}*$/u.test(name) ? name : `T${name.replace(/[^\p{ID_Continue}]/gu, '')}`;
}

function property(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : literal(name);
}

/** A string literal of TypeScript. */
function literal(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'").replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}'`;
}

/** For a comment. */
function onOneLine(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('*/', '* /');
}
