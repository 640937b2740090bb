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
});
