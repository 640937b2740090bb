import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { suite, test } from 'node:test';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { LagProbe } from '../../src/stream/lag-probe.js';
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
    );
    assert.equal(probe.walEnd(), undefined);
    assert.equal(probe.walEnd(), undefined);
    await until(() => sockets.length > 0, 'it connects');
    await probe.close();
    await until(() => closed === 1, 'it hangs up');
    assert.equal(probe.walEnd(), undefined);
    assert.equal(sockets.length, 1);
    await probe.close();
  });
});
