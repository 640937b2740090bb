import { createRequire } from 'node:module';
import type { getTypeParser } from 'pg-types';

/** Loaded when first needed: most streams need none of it. */
let pgTypes: { getTypeParser: typeof getTypeParser } | undefined;

/** node-postgres' own parser of a type's text. */
export function pgParser(typeOid: number): (text: string) => unknown {
  pgTypes ??= createRequire(import.meta.url)('pg-types') as { getTypeParser: typeof getTypeParser };
  return pgTypes.getTypeParser(typeOid, 'text');
}
