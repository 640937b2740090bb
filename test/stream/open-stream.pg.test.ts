import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inspect } from 'node:util';
import { SlotError } from '../../src/errors.js';
import { sharedServer } from '../support/server.js';
import { failure, Source } from './source.js';

suite('what the checks find', () => {
  const server = sharedServer();

  test('a warning shows the statement that mends it', async (t) => {
    const source = await Source.open(t, server(), 'id int');
    const stream = source.stream();
    await stream.start();
    const { warnings } = stream;
    assert.equal(warnings.length, 1);
    const warning = String(warnings[0]);
    const table = `"public"."${source.name}"`;
    assert.ok(warning.startsWith(`table ${table} has no primary key`), warning);
    const statement = `ALTER TABLE ${table} REPLICA IDENTITY FULL`;
    assert.ok(warning.endsWith(statement), warning);
    await stream.stop({ drain: 'none' });
    await source.free();
    await source.query(statement);
    const mended = source.stream();
    await mended.start();
    assert.deepEqual(mended.warnings, []);
  });

  test('a missing slot: what creates it', async (t) => {
    const source = await Source.open(t, server());
    const error = await failure(source.stream({ slot: 'nowhere' }).start());
    assert.ok(error instanceof SlotError, inspect(error));
    assert.equal(error.reason, 'missing');
    assert.ok(error.message.includes(`slot: { name: 'nowhere', create: 'if-missing' }`), error.message);
    const name = `${source.name}_created`;
    const stream = source.stream({ slot: { name, create: 'if-missing' } });
    await stream.start();
    await stream.stop();
  });

  for (const temporary of [false, true]) {
    test(`a new ${temporary ? 'temporary ' : ''}slot cannot begin where a consumer was: a gap, and none is made`, async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      const startLsn = await source.lsn();
      await source.insert(2);
      const name = `${source.name}_anew`;
      const slot = { name, create: 'if-missing', temporary } as const;
      const error = await failure(source.stream({ slot, startLsn }).start());
      assert.ok(error instanceof SlotError, inspect(error));
      assert.equal(error.reason, 'gap');
      assert.match(error.message, /does not exist, and a new one cannot begin at [0-9A-F]+\/[0-9A-F]+/);
      assert.deepEqual(await source.query(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${name}'`), []);
    });
  }

  test('a slot that is dropped while it is streamed is a SlotError that advises no new one', async (t) => {
    const source = await Source.open(t, server());
    const name = `${source.name}_dropped`;
    const retry = { maxAttempts: 20, minDelayMs: 1_000, maxDelayMs: 1_000 };
    const stream = source.stream({ slot: { name, create: 'if-missing' }, retry, ack: 'manual' });
    await stream.start();
    const ended = failure(stream.nextEvent());
    await source.query(
      `SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '${name}'`,
    );
    await source.query(`SELECT pg_drop_replication_slot('${name}')`);
    const error = await ended;
    assert.ok(error instanceof SlotError, inspect(error));
    assert.equal(error.reason, 'missing');
    assert.match(error.message, /was dropped while it was streamed: what was committed after .* is lost/);
    assert.doesNotMatch(error.message, /pg_create_logical_replication_slot|if-missing/);
  });
});
