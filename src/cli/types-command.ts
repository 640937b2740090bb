import { writeFile } from 'node:fs/promises';
import { ReplicationConnection, resolveConnectionConfig, type TypesMode, writeTableTypes } from '../index.js';
import { onOneLine } from './failure-line.js';
import { printText } from './print-text.js';
import type { TableName } from './table-name.js';

/** Flags of `types`, as commander names them. */
export interface TypesFlags {
  readonly dsn?: string;
  readonly publication?: readonly string[];
  readonly schema?: readonly string[];
  readonly table?: readonly TableName[];
  readonly types: TypesMode;
  readonly out?: string;
}

/** For each look at the catalog. */
const TIMEOUT_MS = 60_000;

/** Writes the row types of tables to a file, or to stdout. */
export async function typesCommand(flags: TypesFlags): Promise<void> {
  const { publication: publications = [], schema: schemas = [], table: tables = [], out } = flags;
  const config = resolveConnectionConfig(flags.dsn);
  const written = await (async () => {
    await using session = await ReplicationConnection.connect(config, { mode: 'sql' });
    const request = { publications, schemas, tables, mode: flags.types };
    return await writeTableTypes(session, request, { timeoutMs: TIMEOUT_MS });
  })();
  for (const name of written.leftOut) {
    process.stderr.write(`pg-walstream: warning: ${onOneLine(name)} is left out: its schema has a dot in its name\n`);
  }
  if (written.tables === 0) throw new Error(`there is no table of ${askedFor(flags)}: nothing is written`);
  if (out === undefined) {
    await printText(written.source);
    return;
  }
  await writeFile(out, written.source);
  process.stderr.write(`pg-walstream: ${written.tables} tables in ${onOneLine(out)}\n`);
}

/** The flags that no table fits. */
function askedFor({ publication = [], schema = [], table = [] }: TypesFlags): string {
  return [
    ...publication.map((name) => `--publication ${name}`),
    ...schema.map((name) => `--schema ${name}`),
    ...table.map((one) => `--table ${one.schema}.${one.table}`),
  ].join(' ');
}
