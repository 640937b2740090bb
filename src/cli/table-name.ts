/** A table as the command line names it. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

const NAME = /^(?:"((?:[^"]|"")+)"|([^".]+))\.(?:"((?:[^"]|"")+)"|([^".]+))$/;

/** `schema.table`, spelled as in the catalog; with double quotes where a name has a dot. `undefined`: it is neither. */
export function parseTableName(text: string): TableName | undefined {
  const match = NAME.exec(text);
  if (match === null) return undefined;
  const [, quotedSchema, schema, quotedTable, table] = match;
  return { schema: unquote(quotedSchema, schema), table: unquote(quotedTable, table) };
}

function unquote(quoted: string | undefined, plain: string | undefined): string {
  return quoted?.replaceAll('""', '"') ?? plain ?? '';
}
