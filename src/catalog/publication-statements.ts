import { flag, list, oneOf, plainObject, refuseUnknown, text } from '../errors/option-checks.js';
import { ConfigurationError } from '../errors.js';
import { quoteIdentifier, quoteLiteral } from '../protocol/quoting.js';
import { requireServerVersion } from '../protocol/server-version.js';

/** The values of a publication's `publish`. */
export type PublishedAction = 'insert' | 'update' | 'delete' | 'truncate';

/** A table of a new publication. */
export interface TableToPublish {
  /** Without it the session's search_path decides. */
  readonly schema?: string;
  /** As in the catalog: it is quoted here. */
  readonly table: string;
  /** 15 and later. They must cover the replica identity, or the server refuses UPDATE and DELETE. */
  readonly columns?: readonly string[];
  /** A row filter as SQL, which is used as it is: never from an untrusted source. 15 and later. */
  readonly where?: string;
}

/** What {@link createPublication} creates. */
export interface CreatePublication {
  /** As it is to be in the catalog: it is quoted here. */
  readonly name: string;
  /** `all` is FOR ALL TABLES, future ones included; superusers only. Without tables and schemas it is empty. */
  readonly tables?: 'all' | readonly TableToPublish[];
  /** All tables of these schemas, future ones included; 15 and later, superusers only. */
  readonly schemas?: readonly string[];
  /** Default: all four. */
  readonly publish?: readonly PublishedAction[];
  /** Changes of partitions appear as the partitioned table's. */
  readonly viaRoot?: boolean;
  /** 18 and later. */
  readonly generatedColumns?: 'none' | 'stored';
}

/**
 * `CREATE PUBLICATION "p" FOR TABLE "s"."t" ("a"), TABLES IN SCHEMA "s" WITH (publish = 'insert, update')`
 *
 * @throws ConfigurationError for names and for what the server does not have
 * @see https://www.postgresql.org/docs/current/sql-createpublication.html
 */
export function createPublicationStatement(publication: CreatePublication, serverVersion: number): string {
  checkPublication(publication);
  const name = quoteIdentifier(publication.name, 'publications');
  return `CREATE PUBLICATION ${name}${forClause(publication, serverVersion)}${withClause(publication, serverVersion)}`;
}

export function dropPublicationStatement(name: string): string {
  return `DROP PUBLICATION ${quoteIdentifier(text(name, 'name'), 'publications')}`;
}

const KNOWN_OF_PUBLICATION = new Set(['name', 'tables', 'schemas', 'publish', 'viaRoot', 'generatedColumns']);
const KNOWN_OF_TABLE = new Set(['schema', 'table', 'columns', 'where']);
const PUBLISHED_ACTIONS: readonly PublishedAction[] = ['insert', 'update', 'delete', 'truncate'];

function checkPublication(publication: CreatePublication): void {
  refuseUnknown(plainObject(publication, 'publication', 'an object with a name'), KNOWN_OF_PUBLICATION, '');
  const { name, tables = 'all', schemas = [], publish = [], viaRoot, generatedColumns } = publication;
  text(name, 'name');
  if (tables !== 'all') list(tables, 'tables', "'all' or a list of tables", checkTable);
  list(schemas, 'schemas', 'a list of names', text);
  list(publish, 'publish', `a list of ${PUBLISHED_ACTIONS.join(', ')}`, checkAction);
  flag(viaRoot, 'viaRoot');
  oneOf(generatedColumns, 'generatedColumns', ['none', 'stored'], 'none');
}

function checkTable(given: TableToPublish): void {
  refuseUnknown(plainObject(given, 'tables', "'all' or a list of objects with a table"), KNOWN_OF_TABLE, 'tables.');
  const { schema = '', table, columns = [], where = '' } = given;
  text(schema, 'tables.schema');
  text(table, 'tables.table');
  list(columns, 'tables.columns', 'a list of names', text);
  text(where, 'tables.where');
}

function checkAction(action: PublishedAction): void {
  text(action, 'publish');
  oneOf(action, 'publish', PUBLISHED_ACTIONS, 'insert');
}

function forClause(publication: CreatePublication, serverVersion: number): string {
  const { tables = [], schemas = [] } = publication;
  if (schemas.length > 0) requireServerVersion(serverVersion, 150_000, 'publication of schemas', 'schemas');
  if (tables === 'all') {
    if (schemas.length > 0) {
      throw new ConfigurationError('all tables are published: schemas cannot be added', { option: 'schemas' });
    }
    return ' FOR ALL TABLES';
  }
  const objects: string[] = [];
  if (tables.length > 0) {
    objects.push(`TABLE ${tables.map((table) => tableToPublish(table, serverVersion)).join(', ')}`);
  }
  if (schemas.length > 0) {
    objects.push(`TABLES IN SCHEMA ${schemas.map((schema) => quoteIdentifier(schema, 'schemas')).join(', ')}`);
  }
  return objects.length === 0 ? '' : ` FOR ${objects.join(', ')}`;
}

function tableToPublish(table: TableToPublish, serverVersion: number): string {
  let text = quoteTable(table.schema, table.table, 'tables');
  if (table.columns !== undefined) {
    requireServerVersion(serverVersion, 150_000, 'a column list', 'tables');
    text += ` (${table.columns.map((column) => quoteIdentifier(column, 'tables')).join(', ')})`;
  }
  if (table.where !== undefined) {
    requireServerVersion(serverVersion, 150_000, 'a row filter', 'tables');
    text += ` WHERE (${table.where})`;
  }
  return text;
}

function withClause(publication: CreatePublication, serverVersion: number): string {
  const { publish, viaRoot, generatedColumns } = publication;
  const options: string[] = [];
  if (publish !== undefined) options.push(`publish = ${quoteLiteral(publish.join(', '), 'publish')}`);
  if (viaRoot !== undefined) options.push(`publish_via_partition_root = ${viaRoot ? 'true' : 'false'}`);
  if (generatedColumns !== undefined) {
    requireServerVersion(serverVersion, 180_000, 'generatedColumns', 'generatedColumns');
    options.push(`publish_generated_columns = ${quoteLiteral(generatedColumns, 'generatedColumns')}`);
  }
  return options.length === 0 ? '' : ` WITH (${options.join(', ')})`;
}

/** `"schema"."table"`, or `"table"` alone. */
export function quoteTable(schema: string | undefined, table: string, option: string): string {
  const quoted = quoteIdentifier(table, option);
  return schema === undefined ? quoted : `${quoteIdentifier(schema, option)}.${quoted}`;
}
