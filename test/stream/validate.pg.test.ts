import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { inspect } from 'node:util';
import { UNCHANGED, ValidationError, type WalEvent } from '../../src/index.js';
import { sharedServer } from '../support/server.js';
import { failure, Source } from './source.js';

const COLUMNS = 'id int8 PRIMARY KEY, total numeric(10,2), note text, doc jsonb';

suite('validators, of a real server', () => {
  const server = sharedServer();

  test('updates that leave a large column alone pass; what is confirmed ends before the row that does not', async (t) => {
    const source = await Source.open(t, server(), COLUMNS);
    const { name } = source;
    await source.query(`ALTER TABLE ${name} ALTER note SET STORAGE EXTERNAL`);
    await source.query(`ALTER TABLE ${name} RENAME TO orders`);
    await source.query(`INSERT INTO orders VALUES (1, 1.5, repeat('x', 9000), '{"lines": [{"price": 2}]}')`);
    await source.query('UPDATE orders SET total = 2.5');
    await source.query('DELETE FROM orders');
    const before = await source.lsn();
    await source.query(`INSERT INTO orders VALUES (2, 'NaN', 'a', NULL)`);
    await source.query(`INSERT INTO orders VALUES (3, 3, 'a', NULL)`);
    const stream = source.stream({ validate: { module: new URL('./validators/with-zod.js', import.meta.url) } });
    const changes: WalEvent[] = [];
    const error = await failure(
      (async () => {
        for await (const event of stream) if ('ordinal' in event) changes.push(event);
      })(),
    );
    assert.ok(error instanceof ValidationError, inspect(error));
    assert.deepEqual(
      changes.map(({ kind }) => kind),
      ['insert', 'update', 'delete'],
    );
    assert.ok(changes[1]?.kind === 'update' && changes[1].new.note === UNCHANGED);
    const { relation, ordinal, paths, lsn } = error;
    assert.deepEqual({ relation, ordinal, paths }, { relation: 'public.orders', ordinal: 0, paths: ['total'] });
    assert.ok(lsn >= before);
    await source.free();
    assert.ok((await source.confirmed()) <= lsn, 'nothing from the row on is confirmed');
    // Dropped, it is done with like the others.
    const dropping = source.stream({
      validate: { module: new URL('./validators/with-zod.js', import.meta.url), onInvalid: 'drop' },
      stopLsn: await source.lsn(),
    });
    const ids: unknown[] = [];
    for await (const event of dropping) if (event.kind === 'insert') ids.push(event.new.id);
    assert.deepEqual(ids, [3n]);
    assert.equal(dropping.stats().invalidRows, 1);
    await source.free();
    assert.ok((await source.confirmed()) > lsn);
  });
});
