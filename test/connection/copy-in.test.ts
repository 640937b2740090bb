import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError, ServerError } from '../../src/errors.js';
import {
  backendMessage,
  errorResponse,
  int16,
  READY_FOR_QUERY,
  resultSet,
  sessionStart,
  text,
} from './backend-bytes.js';
import { type ClientBytes, connectTo, fakeServer } from './fake-server.js';

const COPY_IN_RESPONSE = backendMessage('G', [0], int16(0));
const COMPLETE = Buffer.concat([backendMessage('C', text('UPLOAD_MANIFEST')), READY_FOR_QUERY]);

/** The script runs once the copy was asked for; afterwards queries are answered. */
async function open(t: TestContext, script: (client: ClientBytes) => Promise<void>) {
  const port = await fakeServer(t, async (client) => {
    await client.readStartup();
    client.send(sessionStart());
    assert.deepEqual(await client.readMessage(), { tag: 'Q', body: text('UPLOAD_MANIFEST') });
    client.send(COPY_IN_RESPONSE);
    await script(client);
    for (;;) {
      // What of the COPY was on its way is passed over, as the server does.
      const { tag } = await client.readMessage();
      if (tag === 'X') return;
      if (tag === 'Q') client.send(resultSet(['one'], ['1']), READY_FOR_QUERY);
    }
  });
  return connectTo(port);
}

async function* pieces(...parts: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* parts;
}

/** Reads to the end of the COPY: its bytes, and how it ended. */
async function readCopy(client: ClientBytes) {
  const parts: Buffer[] = [];
  for (;;) {
    const { tag, body } = await client.readMessage();
    if (tag !== 'd') return { bytes: Buffer.concat(parts), tag };
    parts.push(body);
  }
}

const isUsable = async (connection: Awaited<ReturnType<typeof connectTo>>) =>
  assert.deepEqual((await connection.query('SELECT 1'))[0]?.rows, [['1']]);

suite('COPY IN', () => {
  test('the bytes arrive, and the session goes on', async (t) => {
    const content = randomBytes(30_000);
    let copied: Awaited<ReturnType<typeof readCopy>> | undefined;
    const connection = await open(t, async (client) => {
      copied = await readCopy(client);
      client.send(COMPLETE);
    });
    const parts = pieces(content.subarray(0, 1), content.subarray(1, 20_000), content.subarray(20_000));
    const results = await connection.copyIn('UPLOAD_MANIFEST', parts);
    assert.deepEqual(
      results.map(({ command }) => command),
      ['UPLOAD_MANIFEST'],
    );
    assert.equal(copied?.tag, 'c');
    assert.ok(copied?.bytes.equals(content));
    await isUsable(connection);
    await connection.close();
  });

  test('nothing to send', async (t) => {
    const connection = await open(t, async (client) => {
      assert.equal((await readCopy(client)).tag, 'c');
      client.send(COMPLETE);
    });
    await connection.copyIn('UPLOAD_MANIFEST', pieces());
    await connection.close();
  });

  test('no faster than the server reads', async (t) => {
    const PIECE = Buffer.alloc(32 * 1024, 'x');
    const COUNT = 3_000;
    let given = 0;
    async function* source() {
      for (; given < COUNT; given++) yield PIECE;
    }
    let held = -1;
    let copied = 0;
    const connection = await open(t, async (client) => {
      // Until the buffers between us are full.
      for (let before = -1; before !== given; await sleep(300)) before = given;
      held = given;
      const end = Buffer.from('c\0\0\0\x04', 'latin1');
      await new Promise<void>((resolve) => {
        client.socket.on('data', (bytes: Buffer) => {
          copied += bytes.length;
          if (bytes.subarray(-end.length).equals(end)) resolve();
        });
      });
      client.send(COMPLETE);
    });
    await connection.copyIn('UPLOAD_MANIFEST', source());
    assert.ok(held > 0 && held < COUNT / 2, `${held} pieces waited`);
    assert.equal(copied, COUNT * (5 + PIECE.length) + 5);
    await connection.close();
  });

  test('an error of the server in the middle stops it, and the session goes on', async (t) => {
    let given = 0;
    async function* source() {
      for (; given < 1_000_000; given++) yield Buffer.alloc(10_000);
    }
    const connection = await open(t, async (client) => {
      await client.readMessage();
      client.send(errorResponse('22023', 'not a manifest', 'ERROR'), READY_FOR_QUERY);
    });
    await assert.rejects(connection.copyIn('UPLOAD_MANIFEST', source()), (error) => {
      return error instanceof ServerError && error.sqlState === '22023';
    });
    assert.ok(given < 1_000_000);
    await isUsable(connection);
    await connection.close();
  });

  test('an error of the source ends it, and is the one that is told', async (t) => {
    const unreadable = new Error('EIO');
    async function* source() {
      yield Buffer.from('{');
      throw unreadable;
    }
    let ending = '';
    const connection = await open(t, async (client) => {
      ending = (await readCopy(client)).tag;
      client.send(errorResponse('57014', 'COPY from stdin failed', 'ERROR'), READY_FOR_QUERY);
    });
    await assert.rejects(connection.copyIn('UPLOAD_MANIFEST', source()), unreadable);
    assert.equal(ending, 'f');
    await isUsable(connection);
    await connection.close();
  });

  test('a connection that is lost in the middle', async (t) => {
    async function* source() {
      for (;;) yield Buffer.alloc(10_000);
    }
    const connection = await open(t, async (client) => {
      await client.readMessage();
      client.socket.destroy();
    });
    await assert.rejects(connection.copyIn('UPLOAD_MANIFEST', source()), ConnectionError);
  });

  test('a server that wants no COPY', async (t) => {
    const port = await fakeServer(t, async (client) => {
      await client.readStartup();
      client.send(sessionStart());
      await client.readMessage();
      client.send(errorResponse('42601', 'syntax error', 'ERROR'), READY_FOR_QUERY);
      await client.readMessage();
    });
    const connection = await connectTo(port);
    await assert.rejects(connection.copyIn('UPLOAD_MANIFEST', pieces(Buffer.from('{'))), ServerError);
    await connection.close();
  });
});
