import assert from 'node:assert/strict';
import pg from 'pg';
import { type Pgoutput, PgoutputPlugin } from 'pg-logical-replication';
import { Lsn, UNCHANGED, type WalEvent } from '../../src/index.js';
import { arrayElementOf, Oid } from '../../src/types/oids.js';
import { isoOf } from '../types/iso-text.js';

/*
 * A second opinion on a stretch of WAL: the slot is read by SQL and its messages are parsed by pg-logical-replication,
 * which shares no code with ours. Both sides become plain values, to be compared by assert.deepStrictEqual.
 */

/** An event of either side. Rows are lists of names and values, sorted by name. */
export type Comparable = Readonly<Record<string, unknown>>;

/** What a stream is expected to make of the server's text of a value. */
export type ToValue = (typeOid: number, serverText: string) => unknown;

interface OracleMessage {
  readonly lsn: bigint;
  readonly message: Pgoutput.Message;
}

/** The messages that `slot` has for these publications, without moving it. Column values are the server's text. */
export async function peekMessages(
  client: pg.Client,
  slot: string,
  publications: readonly string[],
): Promise<OracleMessage[]> {
  const result = await client.query<{ lsn: string; data: Buffer }>(
    `SELECT lsn::text, data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL,
       'proto_version', '1', 'publication_names', $2, 'messages', 'true')`,
    [slot, publications.map(pg.escapeIdentifier).join(',')],
  );
  const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [...publications], messages: true });
  const messages: OracleMessage[] = [];
  for (const { lsn, data } of result.rows) {
    if (data[0] === STREAM_ABORT) continue;
    const message = plugin.parse(data);
    // The parser keeps this very object: from here on it gives values as they were sent.
    if (message.tag === 'relation') for (const column of message.columns) column.parser = (text) => text;
    messages.push({ lsn: Lsn.parse(lsn), message });
  }
  return messages;
}

/** PostgreSQL 18 sends a stray one that the parser does not know. */
const STREAM_ABORT = 0x41;

/** What a stream has to deliver of these messages. */
export function expectedEvents(messages: readonly OracleMessage[], toValue: ToValue): Comparable[] {
  const described = new Descriptions();
  const events: Comparable[] = [];
  let transaction: { xid: number; commitLsn: bigint } | undefined;
  let ordinal = 0;
  for (const [index, { lsn, message }] of messages.entries()) {
    const { xid, commitLsn } = transaction ?? {};
    switch (message.tag) {
      case 'begin': {
        transaction = { xid: message.xid, commitLsn: lsnOf(message.commitLsn) };
        ordinal = 0;
        // The position goes to the last message that makes up a begin: the origin, where there is one.
        const walStart = messages[index + 1]?.message.tag === 'origin' ? 0n : lsn;
        events.push({ kind: 'begin', lsn: walStart, ...transaction, commitTime: dateOf(message.commitTime) });
        break;
      }
      case 'commit':
        events.push({
          kind: 'commit',
          lsn,
          xid,
          commitLsn: lsnOf(message.commitLsn),
          commitEndLsn: lsnOf(message.commitEndLsn),
          commitTime: dateOf(message.commitTime),
        });
        transaction = undefined;
        break;
      case 'origin':
        events.push({ kind: 'origin', name: message.originName, originLsn: lsnOf(message.originLsn) });
        break;
      case 'relation': {
        const { relationOid: id } = message;
        const relation = relationOf(message);
        if (described.isNews(`relation ${id}`, relation)) events.push({ kind: 'relation', relation });
        break;
      }
      case 'type': {
        const type = { id: message.typeOid, schema: message.typeSchema || 'pg_catalog', name: message.typeName };
        if (described.isNews(`type ${type.id}`, JSON.stringify(type))) events.push({ kind: 'type', ...type });
        break;
      }
      case 'insert':
      case 'update':
      case 'delete':
        events.push({
          kind: message.tag,
          lsn,
          xid,
          commitLsn,
          ordinal: ordinal++,
          relation: relationOf(message.relation),
          ...rowsOf(message, toValue),
        });
        break;
      case 'truncate':
        events.push({
          kind: 'truncate',
          lsn,
          xid,
          commitLsn,
          ordinal: ordinal++,
          cascade: message.cascade,
          restartIdentity: message.restartIdentity,
          relations: message.relations.map(({ schema, name }) => ({ schema, table: name })),
        });
        break;
      case 'message':
        events.push({
          kind: 'message',
          lsn: lsnOf(message.messageLsn),
          xid,
          commitLsn,
          transactional: message.transactional,
          prefix: message.prefix,
          content: Buffer.from(message.content).toString(),
        });
        break;
      default:
        assert.fail(`the oracle has no ${(message as { tag: string }).tag}`);
    }
  }
  return events;
}

/** Makes events comparable; one for each stream, for it leaves out what was described again without being altered. */
export class EventComparer {
  readonly #described = new Descriptions();
  readonly #relations = new WeakMap<object, string>();

  /** `undefined` for an event that says nothing new. Reads all rows. */
  comparable(event: WalEvent): Comparable | undefined {
    const { kind } = event;
    switch (kind) {
      case 'begin': {
        const { lsn, xid, commitLsn, commitTime } = event;
        return { kind, lsn, xid, commitLsn, commitTime };
      }
      case 'commit': {
        const { lsn, xid, commitLsn, commitEndLsn, commitTime } = event;
        return { kind, lsn, xid, commitLsn, commitEndLsn, commitTime };
      }
      case 'origin':
        return { kind, name: event.name, originLsn: event.originLsn };
      case 'relation': {
        const relation = this.#relationOf(event.relation);
        return this.#described.isNews(`relation ${event.relation.id}`, relation) ? { kind, relation } : undefined;
      }
      case 'type': {
        const { id, schema, name } = event;
        const type = { id, schema, name };
        return this.#described.isNews(`type ${id}`, JSON.stringify(type)) ? { kind, ...type } : undefined;
      }
      case 'truncate': {
        const { lsn, xid, commitLsn, ordinal, cascade, restartIdentity, relations } = event;
        return { kind, lsn, xid, commitLsn, ordinal, cascade, restartIdentity, relations };
      }
      case 'message': {
        const { lsn, xid, commitLsn, transactional, prefix, content } = event;
        return { kind, lsn, xid, commitLsn, transactional, prefix, content: content.toString() };
      }
      case 'insert':
      case 'update':
      case 'delete': {
        const { lsn, xid, commitLsn, ordinal, identity } = event;
        assert.equal(event.schema, event.relation.schema);
        assert.equal(event.table, event.relation.table);
        return {
          kind,
          lsn,
          xid,
          commitLsn,
          ordinal,
          relation: this.#relationOf(event.relation),
          new: kind === 'delete' ? undefined : rowEntries(event.new),
          old: kind === 'insert' ? undefined : rowEntries(event.old),
          key: kind === 'insert' ? undefined : rowEntries(event.key),
          identity: rowEntries(identity),
        };
      }
      default:
        return assert.fail(`an event of kind ${kind}, which no committed transaction has`);
    }
  }

  #relationOf(relation: Extract<WalEvent, { kind: 'relation' }>['relation']): string {
    let text = this.#relations.get(relation);
    if (text === undefined) {
      const { id, schema, table, replicaIdentity, columns } = relation;
      text = JSON.stringify([
        [id, schema, table, replicaIdentity],
        ...columns.map(({ name, typeOid, typeModifier, isIdentity }) => [name, typeOid, typeModifier, isIdentity]),
      ]);
      this.#relations.set(relation, text);
    }
    return text;
  }
}

/** The server describes tables and types again whenever its caches were invalidated, which is not ours to predict. */
class Descriptions {
  readonly #inForce = new Map<string, string>();

  isNews(name: string, description: string): boolean {
    if (this.#inForce.get(name) === description) return false;
    this.#inForce.set(name, description);
    return true;
  }
}

function relationOf({ relationOid, schema, name, replicaIdentity, columns }: Pgoutput.MessageRelation): string {
  return JSON.stringify([
    [relationOid, schema || 'pg_catalog', name, replicaIdentity],
    ...columns.map((column) => [column.name, column.typeOid, column.typeMod, (column.flags & 1) !== 0]),
  ]);
}

type RowMessage = Pgoutput.MessageInsert | Pgoutput.MessageUpdate | Pgoutput.MessageDelete;
type Tuple = Readonly<Record<string, string | null | undefined>>;

function rowsOf(message: RowMessage, toValue: ToValue): Comparable {
  const { columns } = message.relation;
  const keyColumns = columns.filter((column) => (column.flags & 1) !== 0);
  const row = (tuple: Tuple | null, of = columns) =>
    tuple === null
      ? undefined
      : of
          .map(({ name, typeOid }): [string, unknown] => [name, valueOrMark(tuple[name], typeOid, toValue)])
          .sort(byName);
  const after = row(message.tag === 'delete' ? null : message.new);
  const old = row(message.tag === 'insert' ? null : message.old);
  const key = row(message.tag === 'insert' ? null : message.key, keyColumns);
  const fromNew =
    keyColumns.length === 0 || message.tag === 'delete' ? undefined : row(message.new as Tuple, keyColumns);
  return { new: after, old, key, identity: old ?? key ?? fromNew };
}

function valueOrMark(text: string | null | undefined, typeOid: number, toValue: ToValue): unknown {
  if (text === undefined) return UNCHANGED;
  return text === null ? null : toValue(typeOid, text);
}

function rowEntries(row: Readonly<Record<string, unknown>> | undefined): [string, unknown][] | undefined {
  return row === undefined ? undefined : Object.entries(row).sort(byName);
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The other parser's LSNs are padded. */
function lsnOf(text: string | null): bigint {
  const [high = '0', low = '0'] = (text ?? '0/0').split('/');
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** The other parser's times are microseconds since 1970. */
function dateOf(time: Pgoutput.MessageBegin['commitTime']): Date {
  return new Date(Number(time.valueOf() / 1000n));
}

/** For `types: 'text'`. */
export const serverText: ToValue = (_typeOid, text) => text;

/**
 * For `types: 'lossless'`, however the values come: the rules of the documentation, applied to the server's text. Of types
 * that are not built in the workload has enums.
 */
export const losslessFromText: ToValue = (typeOid, text) => losslessOf(typeOid, text);

const ISO_TYPES: ReadonlyMap<number, string> = new Map([
  [Oid.date, 'date'],
  [Oid.time, 'time'],
  [Oid.timetz, 'timetz'],
  [Oid.timestamp, 'timestamp'],
  [Oid.timestamptz, 'timestamptz'],
]);

/** node-postgres has a parser for text[], which its types do not list. */
const TEXT_ARRAY_OID: number = 1009;
type TypeId = Parameters<typeof pg.types.getTypeParser>[0];
const parseTextArray: (text: string) => unknown[] = pg.types.getTypeParser(TEXT_ARRAY_OID as TypeId);

function losslessOf(typeOid: number, text: string): unknown {
  const elementOid = arrayElementOf(typeOid)?.elementOid;
  if (elementOid !== undefined) return nested(parseTextArray(text), elementOid);
  switch (typeOid) {
    case Oid.bool:
      return text === 't';
    case Oid.int2:
    case Oid.int4:
    case Oid.oid:
    case Oid.float4:
    case Oid.float8:
      return Number(text);
    case Oid.int8:
      return BigInt(text);
    case Oid.bytea:
      return Buffer.from(text.slice(2), 'hex');
    case Oid.json:
    case Oid.jsonb:
      return JSON.parse(text);
    case Oid.int4range: {
      const [lower, upper] = text.slice(1, -1).split(',').map(Number);
      return { lower, upper, lowerInclusive: text.startsWith('['), upperInclusive: text.endsWith(']') };
    }
    default: {
      const isoType = ISO_TYPES.get(typeOid);
      return isoType === undefined ? text : isoOf(isoType, text);
    }
  }
}

function nested(elements: readonly unknown[], elementOid: number): unknown[] {
  return elements.map((element) => {
    if (element === null) return null;
    return Array.isArray(element) ? nested(element, elementOid) : losslessOf(elementOid, String(element));
  });
}

/** Compares in order, and says where and from which seed on they part. */
export function assertSameEvents(actual: readonly Comparable[], expected: readonly Comparable[], seed: number): void {
  for (let index = 0; index < expected.length; index++) {
    try {
      assert.deepStrictEqual(actual[index], expected[index]);
    } catch (error) {
      assert.fail(`event ${index} of ${expected.length} differs (seed ${seed}): ${(error as Error).message}`);
    }
  }
  assert.equal(actual.length, expected.length, `events beyond the expected ones (seed ${seed})`);
}
