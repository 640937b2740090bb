import { inspect } from 'node:util';
import { Lsn, type PreparedTransaction, type RowEvent, type Transaction, UNCHANGED, type WalEvent } from '../index.js';
import type { Palette } from './palette.js';

/** A value longer than this is cut: pretty is for reading, jsonl for keeping. */
const MAX_VALUE_CHARACTERS = 120;
const PLAIN_NAME = /^[\p{L}\p{N}_$-]+$/u;
const C1_CONTROLS = /[\u007f-\u009f]/g;

/** An event on one line, for a person. Nothing in it can move a terminal's cursor. */
export function prettyEvent(event: WalEvent, palette: Palette): string {
  const { dim, bold, green, yellow, red, blue, cyan } = palette;
  switch (event.kind) {
    case 'begin':
      return `${bold('begin')} ${dim(`xid ${event.xid}  ${event.commitTime.toISOString()}`)}`;
    case 'commit':
      return `${bold('commit')} ${dim(`xid ${event.xid ?? '?'}  up to ${Lsn.format(event.commitEndLsn)}`)}`;
    case 'insert':
      return `  ${green('insert')} ${change(event, palette)} ${row(event.new, palette)}`;
    case 'update': {
      const before = event.old ?? event.key;
      const from = before === undefined ? '' : `${row(before, palette)} ${dim('→')} `;
      return `  ${yellow('update')} ${change(event, palette)} ${from}${row(event.new, palette)}`;
    }
    case 'delete':
      return `  ${red('delete')} ${change(event, palette)} ${row(event.old ?? event.key ?? {}, palette)}`;
    case 'truncate': {
      const options = `${event.restartIdentity ? ' restart identity' : ''}${event.cascade ? ' cascade' : ''}`;
      return `  ${red('truncate')} ${event.relations.map(tableName).join(', ')}${dim(place(event))}${options}`;
    }
    case 'message': {
      const indent = event.transactional ? '  ' : '';
      return `${indent}${blue('message')} ${name(event.prefix)} ${value(event.content.toString('utf8'))}`;
    }
    case 'relation': {
      const columns = event.relation.columns.map((column) => name(column.name)).join(', ');
      return dim(`  relation ${tableName(event)} (${columns})`);
    }
    case 'type':
      return dim(`  type ${name(event.schema)}.${name(event.name)}`);
    case 'origin':
      return `  ${cyan('origin')} ${name(event.name)} ${dim(Lsn.format(event.originLsn))}`;
    case 'streamStart':
      return `${bold('stream start')} ${dim(`xid ${event.xid}${event.isFirst ? '  first' : ''}`)}`;
    case 'streamStop':
      return `${bold('stream stop')} ${dim(`xid ${event.xid ?? '?'}`)}`;
    case 'streamCommit':
      return `${bold('stream commit')} ${dim(`xid ${event.xid}  up to ${Lsn.format(event.commitEndLsn)}`)}`;
    case 'streamAbort':
      return `${bold('stream abort')} ${dim(`xid ${event.xid}${event.subxid === event.xid ? '' : `/${event.subxid}`}`)}`;
    case 'beginPrepare':
      return `${bold('begin prepare')} ${name(event.gid)} ${dim(`xid ${event.xid}  ${event.prepareTime.toISOString()}`)}`;
    case 'prepare':
      return `${bold('prepare')} ${name(event.gid)} ${dim(`xid ${event.xid}  up to ${Lsn.format(event.prepareEndLsn)}`)}`;
    case 'streamPrepare':
      return `${bold('stream prepare')} ${name(event.gid)} ${dim(`xid ${event.xid}  up to ${Lsn.format(event.prepareEndLsn)}`)}`;
    case 'commitPrepared':
      return `${bold('commit prepared')} ${name(event.gid)} ${dim(`xid ${event.xid}  up to ${Lsn.format(event.commitEndLsn)}`)}`;
    case 'rollbackPrepared':
      return `${bold('rollback prepared')} ${name(event.gid)} ${dim(`xid ${event.xid}  up to ${Lsn.format(event.rollbackEndLsn)}`)}`;
    default:
      return event satisfies never;
  }
}

/** The line before the changes of a whole transaction, and one for its origin. */
export function prettyTransactionStart(transaction: Transaction | PreparedTransaction, palette: Palette): string {
  const { bold, dim, cyan } = palette;
  const { xid, origin } = transaction;
  const start =
    transaction.kind === 'transaction'
      ? `${bold('transaction')} ${dim(`xid ${xid}  ${transaction.commitTime.toISOString()}`)}`
      : `${bold('prepared')} ${name(transaction.gid)} ${dim(`xid ${xid}  ${transaction.prepareTime.toISOString()}`)}`;
  if (origin === undefined) return start;
  return `${start}\n  ${cyan('origin')} ${name(origin.name)} ${dim(Lsn.format(origin.originLsn))}`;
}

/** The line after the changes of a whole transaction. */
export function prettyTransactionEnd(transaction: Transaction | PreparedTransaction, { bold, dim }: Palette): string {
  if (transaction.kind === 'transaction') {
    return `${bold('commit')} ${dim(`xid ${transaction.xid}  up to ${Lsn.format(transaction.commitEndLsn)}`)}`;
  }
  const { gid, xid, prepareEndLsn } = transaction;
  return `${bold('prepare')} ${name(gid)} ${dim(`xid ${xid}  up to ${Lsn.format(prepareEndLsn)}`)}`;
}

function change(event: RowEvent, { dim }: Palette): string {
  return `${tableName(event)}${dim(place(event))}`;
}

/** Its number in its transaction or, where that is streamed, the subtransaction that may yet be rolled back. */
function place({ ordinal, subxid }: { ordinal: number | undefined; subxid: number | undefined }): string {
  return subxid === undefined ? `#${ordinal}` : `/${subxid}`;
}

function row(values: Readonly<Record<string, unknown>>, { dim }: Palette): string {
  const columns = Object.entries(values);
  return columns.map(([column, one]) => `${dim(`${name(column)}=`)}${value(one)}`).join(' ');
}

function tableName({ schema, table }: { schema: string; table: string }): string {
  return `${name(schema)}.${name(table)}`;
}

function name(text: string): string {
  return PLAIN_NAME.test(text) ? text : printable(JSON.stringify(text));
}

function value(one: unknown): string {
  if (one === UNCHANGED) return '(unchanged)';
  const text = printable(textOf(one));
  return text.length > MAX_VALUE_CHARACTERS ? `${text.slice(0, MAX_VALUE_CHARACTERS)}…` : text;
}

function textOf(one: unknown): string {
  switch (typeof one) {
    case 'string':
      return JSON.stringify(one.slice(0, MAX_VALUE_CHARACTERS + 1));
    case 'object':
      if (one === null) return 'null';
      if (one instanceof Uint8Array) return `\\x${Buffer.from(one.subarray(0, MAX_VALUE_CHARACTERS)).toString('hex')}`;
      return inspect(one, {
        breakLength: Number.POSITIVE_INFINITY,
        compact: true,
        depth: 6,
        maxStringLength: MAX_VALUE_CHARACTERS,
      });
    default:
      return String(one);
  }
}

/** JSON and inspect leave these as they are, and terminals obey some of them. */
function printable(text: string): string {
  return text.replace(C1_CONTROLS, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}
