import assert from 'node:assert/strict';
import type { WalEvent } from '../../src/pgoutput/event.js';
import { Oid } from '../../src/types/oids.js';
import { decode } from '../pgoutput/batches.js';
import * as wire from '../support/pgoutput-bytes.js';

export const XID = 700;

/** A table of an id and a note. */
export function table(id: number, schema: string, name: string): Buffer {
  return wire.relation({
    id,
    schema,
    table: name,
    columns: [
      { name: 'id', typeOid: Oid.int4, isIdentity: true },
      { name: 'note', typeOid: Oid.text },
    ],
  });
}

/** The messages of one transaction as events, its begin and commit included. */
export function transaction(commitLsn: bigint, ...messages: Buffer[]): WalEvent[] {
  const commitEndLsn = commitLsn + 0x30n;
  return alone(
    wire.begin({ commitLsn, xid: XID }),
    ...messages,
    wire.commit({ commitLsn, commitEndLsn, commitTimeUs: 0n }),
  );
}

/** Messages as events, each at an LSN of its own. */
export function alone(...messages: Buffer[]): WalEvent[] {
  const { events, error } = decode(messages.map((message, index) => wire.xLogData(0x100n + BigInt(index), message)));
  assert.equal(error, undefined);
  return events;
}
