import {
  createPublication,
  dropPublication,
  listPublications,
  type Publication,
  type PublishedAction,
} from '../index.js';
import { withSession } from './catalog-session.js';
import { onOneLine } from './failure-line.js';
import { printText } from './print-text.js';
import type { TableName } from './table-name.js';
import { textTable } from './text-table.js';

/** What every subcommand of `publication` takes. */
export interface PublicationFlags {
  readonly dsn?: string;
}

export interface ListPublicationsFlags extends PublicationFlags {
  readonly format: 'pretty' | 'jsonl';
}

export interface CreatePublicationFlags extends PublicationFlags {
  readonly allTables?: boolean;
  readonly table?: readonly TableName[];
  readonly schema?: readonly string[];
  readonly publish?: readonly PublishedAction[];
  readonly viaRoot?: boolean;
}

export async function listPublicationsCommand({ dsn, format }: ListPublicationsFlags): Promise<void> {
  const publications = await withSession(dsn, 'sql', (session) => listPublications(session));
  const lines = () => publications.map((publication) => `${JSON.stringify(publication)}\n`).join('');
  await printText(format === 'jsonl' ? lines() : publicationTable(publications));
}

export async function createPublicationCommand(name: string, flags: CreatePublicationFlags): Promise<void> {
  const { dsn, allTables, table = [], schema = [], publish, viaRoot } = flags;
  await withSession(dsn, 'sql', (session) =>
    createPublication(session, {
      name,
      tables: allTables ? 'all' : table,
      schemas: schema,
      ...(publish !== undefined && { publish }),
      ...(viaRoot !== undefined && { viaRoot }),
    }),
  );
  await printText(`created publication ${name}\n`);
}

export async function dropPublicationCommand(name: string, { dsn }: PublicationFlags): Promise<void> {
  await withSession(dsn, 'sql', (session) => dropPublication(session, name));
  await printText(`dropped publication ${name}\n`);
}

/** Tables named in a row of the table; the rest are counted. */
const MAX_TABLES_SHOWN = 5;

export function publicationTable(publications: readonly Publication[]): string {
  return textTable(
    ['NAME', 'OWNER', 'PUBLISHES', 'TABLES'],
    publications.map(({ name, owner, publish, allTables, tables }) => [
      onOneLine(name),
      onOneLine(owner),
      publish.join(', ') || '-',
      `${allTables ? 'all, now ' : ''}${tableList(tables)}`,
    ]),
  );
}

function tableList(tables: Publication['tables']): string {
  if (tables.length === 0) return 'none';
  const names = tables.slice(0, MAX_TABLES_SHOWN).map(({ schema, table }) => onOneLine(`${schema}.${table}`));
  const more = tables.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
