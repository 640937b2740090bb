import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { suite, test } from 'node:test';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { LagProbe } from '../../src/stream/lag-probe.js';
import { ordersTape, sender } from '../testing/events.js';
import { until } from './source.js';

suite('lag probe', () => {
  test('closing gives up a connection that is being made', async (t) => {
    const sockets: Socket[] = [];
    let closed = 0;
    const silent = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('close', () => closed++);
      socket.resume();
    }).listen(0, '127.0.0.1');
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });
    await once(silent, 'listening');
    const address = silent.address();
    assert.ok(typeof address === 'object' && address !== null);
    const probe = new LagProbe(
      resolveConnectionConfig({ host: '127.0.0.1', port: address.port, user: 'u', sslMode: 'disable' }, {}),
      () => ({ host: `127.0.0.1:${address.port}`, flushedLsn: 1n }),
    );
    assert.equal(probe.lagBytes(), undefined);
    assert.equal(probe.lagBytes(), undefined);
    await until(() => sockets.length > 0, 'it connects');
    await probe.close();
    await until(() => closed === 1, 'it hangs up');
    assert.equal(probe.lagBytes(), undefined);
    assert.equal(sockets.length, 1);
    await probe.close();
  });

  test('is asked on after one look, of the server that streams, and is unknown once it does not answer', async (t) => {
    const { tape, insert } = ordersTape(1);
    let asked = 0;
    const answerQuery = (sql: string) => {
      if (sql.includes('pg_current_wal_flush_lsn()')) asked++;
      return undefined;
    };
    const from = await sender(tape, { answerQuery });
    const other = await sender(tape);
    t.after(() => Promise.all([from.close(), other.close()]));
    const [first, second] = [from, other].map(({ host, port }) => `${host}:${port}`) as [string, string];
    const config = resolveConnectionConfig(`postgresql://test@${first},${second}/test?sslmode=disable`, {});
    const place = { host: second, flushedLsn: tape.endLsn };
    const elsewhere = new LagProbe(config, () => place);
    elsewhere.lagBytes();
    const probe = new LagProbe(config, () => ({ ...place, host: first }));
    assert.equal(probe.lagBytes(), undefined);
    // Nobody looks meanwhile.
    await until(() => asked >= 2, 'it is asked again');
    assert.equal(probe.lagBytes(), 0n);
    const before = tape.endLsn;
    tape.transaction([insert()]);
    await until(() => probe.lagBytes() === tape.endLsn - before, 'what was written counts');
    from.order({ kind: 'refuse', times: 100, sqlState: '53300' });
    from.cutConnections();
    await until(() => probe.lagBytes() === undefined, 'there is no answer');
    assert.equal(elsewhere.lagBytes(), tape.endLsn - before);
    await Promise.all([probe.close(), elsewhere.close()]);
  });
});
