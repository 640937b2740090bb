import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ConfigurationError } from '../../src/errors.js';
import { PgoutputDecoder } from '../../src/pgoutput/decoder.js';
import type { PgoutputMessage } from '../../src/pgoutput/pgoutput-message.js';
import { rowFromTuple } from '../../src/pgoutput/tuple-row.js';
import { emitMessage, savepoint, truncate, UNCHANGED, WalTape, type WalTapeOptions } from '../../src/testing/index.js';

/** What a connection that asks for this gets, up to where it has caught up. */
async function messagesOf(tape: WalTape, options: Record<string, string> = {}, startLsn = 0n) {
  const decoder = new PgoutputDecoder();
  const messages: PgoutputMessage[] = [];
  for await (const step of tape.steps({ slot: 's', startLsn, options }, new AbortController().signal)) {
    if (step.kind === 'keepalive' && step.serverWalEnd === tape.endLsn) break;
    if (step.kind === 'wal') messages.push(decoder.decode(Buffer.from(step.data)));
  }
  return messages;
}

const kinds = (messages: readonly PgoutputMessage[]) => messages.map(({ kind }) => kind).join(' ');

function itemTape(options?: WalTapeOptions) {
  const tape = new WalTape(options);
  const item = tape.relation({ table: 'item', columns: { id: 'int4', name: 'text' }, key: ['id'] });
  return { tape, item };
}

suite('values', () => {
  test('become what the server writes', async () => {
    const tape = new WalTape();
    const all = tape.relation({
      schema: 'other',
      table: 'all',
      columns: { i: 'int8', f: 'float8', b: 'bool', t: 'timestamptz', y: 'bytea', j: 'jsonb', u: 'text', n: 'text' },
      replicaIdentity: 'full',
    });
    const row = {
      i: 9007199254740993n,
      f: 1.5,
      b: true,
      t: new Date('2026-02-03T04:05:06.789Z'),
      y: Buffer.from([0, 255]),
      j: { a: [1] },
      u: UNCHANGED as typeof UNCHANGED,
    };
    tape.transaction([all.insert(row), all.update(row, { ...row, u: 'before' })]);
    const messages = await messagesOf(tape);
    const relation = messages.find((message) => message.kind === 'relation');
    const insert = messages.find((message) => message.kind === 'insert');
    const update = messages.find((message) => message.kind === 'update');
    assert.ok(relation?.schema === 'other' && insert !== undefined);
    assert.deepEqual({ ...rowFromTuple(insert.new, relation) }, { ...row, t: '2026-02-03T04:05:06.789Z', n: null });
    assert.ok(update?.old !== undefined && update.key === undefined);
  });

  test('what does not fit is refused', () => {
    const { tape, item } = itemTape();
    assert.throws(() => item.insert({ nothing: 1 }), { code: 'ERR_CONFIGURATION', option: 'row.nothing' });
    assert.throws(() => tape.relation({ table: 't', columns: { a: 'integer' as never } }), ConfigurationError);
    assert.throws(() => tape.relation({ table: 't', columns: { a: 'int4' }, key: ['b'] }), { option: 'key' });
    assert.throws(() => tape.commitPrepared('none'), { option: 'gid' });
    assert.throws(() => tape.transaction([], { xid: 0 }), { option: 'xid' });
    assert.throws(() => new WalTape({ startLsn: 0n }), { option: 'startLsn' });
  });
});

suite('transactions', () => {
  test('positions, xids and times advance, the same in every run', async () => {
    const run = async () => {
      const { tape, item } = itemTape({ startLsn: 0x100n, firstXid: 5, startTime: new Date(0) });
      tape.transaction([item.insert({ id: 1 })]);
      tape.transaction([item.delete({ id: 1 }), emitMessage('p', 'c')], { origin: { name: 'o', lsn: 7n } });
      tape.message('alone', 'x');
      return messagesOf(tape, { messages: 'true' });
    };
    const messages = await run();
    assert.deepEqual(await run(), messages);
    assert.equal(kinds(messages), 'begin relation insert commit begin origin delete message commit message');
    const ends = messages.flatMap((message) => (message.kind === 'commit' ? [message.commitEndLsn] : []));
    assert.deepEqual(ends, [0x180n, 0x240n]);
    assert.deepEqual(
      messages.flatMap((message) => (message.kind === 'begin' ? [message.xid] : [])),
      [5, 6],
    );
  });

  test('messages come only to those who ask', async () => {
    const { tape, item } = itemTape();
    tape.transaction([item.insert({ id: 1 }), emitMessage('p', 'c')]);
    tape.message('alone', 'x');
    assert.equal(kinds(await messagesOf(tape)), 'begin relation insert commit');
  });

  test('a relation is described when it is needed and when it has changed, and again after a start further on', async () => {
    const { tape, item } = itemTape();
    const first = tape.transaction([item.insert({ id: 1 })]);
    tape.transaction([item.insert({ id: 2 })]);
    const wider = item.altered({ columns: { id: 'int4', name: 'text', more: 'int8' } });
    tape.transaction([wider.insert({ id: 3, more: 1 }), truncate([wider], { cascade: true })]);
    assert.equal(
      kinds(await messagesOf(tape)),
      'begin relation insert commit begin insert commit begin relation insert truncate commit',
    );
    assert.equal(
      kinds(await messagesOf(tape, {}, first.commitEndLsn)),
      'begin relation insert commit begin relation insert truncate commit',
    );
  });

  test('a large one is streamed to those who ask, in blocks, and whole to others', async () => {
    const { tape, item } = itemTape();
    tape.transaction(
      [
        item.insert({ id: 1 }),
        savepoint([item.insert({ id: 2 })], 'rolledBack'),
        savepoint([item.insert({ id: 3 })]),
        item.insert({ id: 4 }),
      ],
      { large: true, xid: 800 },
    );
    tape.rolledBack([item.insert({ id: 5 })], { large: true, streamBlocks: 1 });
    assert.equal(kinds(await messagesOf(tape)), 'begin relation insert insert insert commit');
    const streamed = await messagesOf(tape, { streaming: 'on', proto_version: '2' });
    assert.equal(
      kinds(streamed),
      'streamStart relation insert insert streamStop streamAbort streamStart relation insert insert streamStop streamCommit ' +
        'streamStart relation insert streamStop streamAbort',
    );
    assert.deepEqual(
      streamed.flatMap((message) => (message.kind === 'insert' ? [message.xid] : [])),
      [800, 801, 802, 800, 803],
    );
    const aborts = streamed.flatMap((message) => (message.kind === 'streamAbort' ? [message] : []));
    assert.deepEqual(aborts, [
      { kind: 'streamAbort', xid: 800, subxid: 801 },
      { kind: 'streamAbort', xid: 803, subxid: 803 },
    ]);
    const parallel = await messagesOf(tape, { streaming: 'parallel', proto_version: '4' });
    assert.ok(parallel.every((message) => message.kind !== 'streamAbort' || message.abortLsn !== undefined));
  });

  test('prepared ones', async () => {
    const { tape, item } = itemTape();
    tape.prepare('one', [item.insert({ id: 1 })]);
    tape.prepare('two', [item.insert({ id: 2 })], { large: true });
    tape.prepare('three', [item.insert({ id: 3 })]);
    tape.commitPrepared('two');
    tape.rollbackPrepared('one');
    tape.commitPrepared('three');
    assert.equal(kinds(await messagesOf(tape)), 'begin relation insert commit begin insert commit');
    const twoPhase = { two_phase: 'on', proto_version: '3' };
    assert.equal(
      kinds(await messagesOf(tape, twoPhase)),
      'beginPrepare relation insert prepare beginPrepare insert prepare beginPrepare insert prepare ' +
        'commitPrepared rollbackPrepared commitPrepared',
    );
    assert.match(
      kinds(await messagesOf(tape, { ...twoPhase, streaming: 'on' })),
      /prepare streamStart relation insert streamStop streamPrepare beginPrepare/,
    );
  });

  test('origin none leaves out what has one', async () => {
    const { tape, item } = itemTape();
    tape.transaction([item.insert({ id: 1 })], { origin: { name: 'o', lsn: 7n } });
    tape.transaction([item.insert({ id: 2 })]);
    assert.equal(kinds(await messagesOf(tape, { origin: 'none' })), 'begin relation insert commit');
  });
});
