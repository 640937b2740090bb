import { Lsn } from '../lsn.js';

/*
 * What a client says to a walsender beside SQL.
 *
 *   IDENTIFY_SYSTEM
 *   CREATE_REPLICATION_SLOT name [TEMPORARY] {LOGICAL plugin | PHYSICAL} options
 *   DROP_REPLICATION_SLOT name [WAIT]
 *   START_REPLICATION [SLOT name] [LOGICAL | PHYSICAL] X/Y [(name ['value'], ...)]
 *   SHOW name
 *   BASE_BACKUP keywords | (name [value], ...)
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */

export type ReplicationCommand =
  | { readonly kind: 'identifySystem' }
  | {
      readonly kind: 'createSlot';
      readonly slot: string;
      readonly plugin: string;
      readonly temporary: boolean;
      readonly twoPhase: boolean;
      readonly failover: boolean;
      readonly exportsSnapshot: boolean;
    }
  | { readonly kind: 'dropSlot'; readonly slot: string }
  | {
      readonly kind: 'start';
      readonly slot: string;
      readonly startLsn: bigint;
      readonly options: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'show'; readonly setting: string }
  | { readonly kind: 'baseBackup'; readonly options: Readonly<Record<string, string>> };

const NAME = '("(?:[^"]|"")+"|[\\w.]+)';
const IDENTIFY = /^IDENTIFY_SYSTEM$/i;
const CREATE = new RegExp(`^CREATE_REPLICATION_SLOT\\s+${NAME}\\s+(TEMPORARY\\s+)?LOGICAL\\s+${NAME}(.*)$`, 'is');
const DROP = new RegExp(`^DROP_REPLICATION_SLOT\\s+${NAME}(?:\\s+WAIT)?$`, 'i');
const START = new RegExp(
  `^START_REPLICATION\\s+SLOT\\s+${NAME}\\s+LOGICAL\\s+([0-9A-F]{1,8}/[0-9A-F]{1,8})\\s*(?:\\((.*)\\))?$`,
  'is',
);
const SHOW = new RegExp(`^SHOW\\s+${NAME}$`, 'i');
const BACKUP = /^BASE_BACKUP\b\s*(?:\((.*)\)|(.*))$/is;
const BACKUP_OPTION = /\s*([A-Z_]+)(?:\s+(?:'((?:[^']|'')*)'|(\w+)))?\s*(?:,|$)/giy;
/** Of 14: only literals and numbers are values. */
const BACKUP_KEYWORD = /([A-Z_]+)(?:\s+(?:'((?:[^']|'')*)'|(\d+)))?\s*/giy;
/** What the keywords of 14 are called since. */
const BACKUP_SYNONYMS: Readonly<Record<string, readonly [string, string]>> = {
  FAST: ['CHECKPOINT', 'fast'],
  NOWAIT: ['WAIT', 'false'],
  NOVERIFY_CHECKSUMS: ['VERIFY_CHECKSUMS', 'false'],
};
const OPTION = new RegExp(`\\s*${NAME}(?:\\s+'((?:[^']|'')*)')?\\s*(?:,|$)`, 'gy');

/** `undefined` for SQL, for physical replication, and for commands that a fake sender does not know. */
export function parseReplicationCommand(text: string): ReplicationCommand | undefined {
  if (IDENTIFY.test(text)) return { kind: 'identifySystem' };
  const [, createName, temporary, plugin, rest = ''] = CREATE.exec(text) ?? [];
  if (createName !== undefined && plugin !== undefined) {
    return {
      kind: 'createSlot',
      slot: unquoted(createName),
      plugin: unquoted(plugin),
      temporary: temporary !== undefined,
      twoPhase: /\bTWO_PHASE\b(?!\s+false)/i.test(rest),
      failover: /\bFAILOVER\b(?!\s+false)/i.test(rest),
      // What the server does unless told otherwise.
      exportsSnapshot: !/NOEXPORT_SNAPSHOT|USE_SNAPSHOT|SNAPSHOT\s+'(?:nothing|use)'/i.test(rest),
    };
  }
  const [, dropName] = DROP.exec(text) ?? [];
  if (dropName !== undefined) return { kind: 'dropSlot', slot: unquoted(dropName) };
  const [, startName, position, options = ''] = START.exec(text) ?? [];
  if (startName !== undefined && position !== undefined) {
    return { kind: 'start', slot: unquoted(startName), startLsn: Lsn.parse(position), options: parseOptions(options) };
  }
  const backup = BACKUP.exec(text);
  if (backup !== null) return { kind: 'baseBackup', options: backupOptions(backup[1], backup[2]) };
  const [, setting] = SHOW.exec(text) ?? [];
  return setting === undefined ? undefined : { kind: 'show', setting: unquoted(setting) };
}

function parseOptions(text: string): Record<string, string> {
  const options: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(OPTION)) options[unquoted(name)] = value.replaceAll("''", "'");
  return options;
}

function backupOptions(list: string | undefined, keywords = ''): Record<string, string> {
  const options: Record<string, string> = {};
  const found = list?.matchAll(BACKUP_OPTION) ?? keywords.matchAll(BACKUP_KEYWORD);
  for (const [, keyword = '', literal, word] of found) {
    const given = literal?.replaceAll("''", "'") ?? word ?? 'true';
    const [name, value] = BACKUP_SYNONYMS[keyword.toUpperCase()] ?? [keyword.toUpperCase(), given];
    options[name] = value;
  }
  return options;
}

/** The names in `"a","b"`, pgoutput's publication_names. */
export function identifierList(text: string): string[] {
  return [...text.matchAll(/"((?:[^"]|"")+)"|[^\s,"]+/g)].map((match) => unquoted(match[0]));
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase();
}
