import type { Row } from '../pgoutput/event-json.js';
import { UNCHANGED } from '../types/unchanged.js';
import type { StandardIssue } from './standard-schema.js';

/** Bounds on what is told of one row: documents may be deep and wrong everywhere. */
const MAX_PATHS = 20;
const MAX_SEGMENTS = 16;
const MAX_SEGMENT_CHARACTERS = 64;

const THE_ROW: StandardIssue = { message: '' };

/**
 * The places in a row at which issues count, `column` or `column.key[3]`; an empty string is the row as a whole. What is
 * said of a column that was not sent does not count and, in a row with such a column, what is said of the whole. The
 * messages are left behind: they may quote values.
 */
export function issuePaths(row: Row, issues: readonly StandardIssue[]): string[] {
  const isWhole = !Object.values(row).includes(UNCHANGED);
  const paths = new Set<string>();
  // Without any it is not valid all the same.
  for (const { path = [] } of issues.length === 0 ? [THE_ROW] : issues) {
    const keys = path.map((segment) => (typeof segment === 'object' ? segment.key : segment));
    const counts = keys.length === 0 ? isWhole : row[String(keys[0])] !== UNCHANGED;
    if (counts && paths.size < MAX_PATHS) paths.add(pathText(keys));
  }
  return [...paths];
}

function pathText(keys: readonly PropertyKey[]): string {
  let text = '';
  for (const key of keys.slice(0, MAX_SEGMENTS)) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += `${text === '' ? '' : '.'}${String(key).slice(0, MAX_SEGMENT_CHARACTERS)}`;
  }
  return text;
}
