import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import {
  ReplicationConnection,
  type WalBatch,
  WalStream,
  WalStreamError,
  type WalStreamOptions,
  WorkerError,
} from '../../src/index.js';
import { sharedServer, sql } from '../support/server.js';
import { failure } from './source.js';
import { TcpProxy } from './tcp-proxy.js';

const PASSWORD = 'marked-password-7f3a';
const VALUE = 'marked-value-91bc';

/** Looks for what nobody may see, everywhere where somebody could. */
function assertClean(shown: unknown, what: string): void {
  const texts = [
    inspect(shown, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: true, maxStringLength: null }),
    inspect(shown, { depth: Number.POSITIVE_INFINITY, showProxy: true, maxArrayLength: null }),
    String(shown),
    JSON.stringify(shown, (_, value) => (typeof value === 'bigint' ? String(value) : value)) ?? '',
  ];
  for (let error = shown; error instanceof Error; error = error.cause) texts.push(error.stack ?? '', error.message);
  for (const text of texts) {
    for (const marker of [PASSWORD, encodeURIComponent(PASSWORD), VALUE]) {
      assert.ok(!text.includes(marker), `${what} shows ${marker}: ${text.slice(0, 2_000)}`);
      // Bytes are shown as hexadecimal.
      const hex = Buffer.from(marker).toString('hex');
      assert.ok(!text.replaceAll(' ', '').includes(hex), `${what} shows ${marker} as bytes`);
    }
  }
}

function bigintsAsText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

suite('no secret and no row value', () => {
  const server = sharedServer({ password: PASSWORD });
  const config = () => resolveConnectionConfig(server().connectionString(), {});
  let slots = 0;

  async function source(): Promise<string> {
    const name = `marked_${++slots}`;
    await sql(
      server(),
      `CREATE TABLE ${name} (id int PRIMARY KEY, note text); CREATE PUBLICATION ${name} FOR TABLE ${name}`,
    );
    await sql(server(), `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`);
    await sql(server(), `INSERT INTO ${name} SELECT g, '${VALUE}' FROM generate_series(1, 2000) g`);
    return name;
  }

  function streamOf(t: TestContext, name: string, options: Partial<WalStreamOptions> = {}): WalStream {
    const connection = server().connectionString();
    const stream = new WalStream({ connection, slot: name, publications: name, retry: { maxAttempts: 0 }, ...options });
    t.after(() => stream.stop({ drain: 'none' }));
    return stream;
  }

  test('in streams, batches, statistics and connections', async (t) => {
    const stream = streamOf(t, await source());
    assertClean(stream, 'a stream that has not started');
    const held: WalBatch[] = [];
    for await (const batch of stream.batches()) {
      held.push(batch);
      for (const what of [stream, batch, stream.stats(), stream.warnings]) assertClean(what, 'a stream or its batch');
      break;
    }
    assertClean(held, 'a batch that is kept');
    await using connection = await ReplicationConnection.connect(config(), { mode: 'sql' });
    assertClean(connection, 'a connection');
  });

  const notOurs = join(tmpdir(), `pgw-file-${process.pid}`);
  const wrong = 'marked-password-7f3a-wrong';
  const transform = { module: new URL('./transforms/rows.js', import.meta.url), export: 'encode' };
  const FAILURES: Readonly<
    Record<string, { code: string; provoke: (t: TestContext) => Promise<unknown> | Promise<never> }>
  > = {
    'a wrong password': {
      code: 'ERR_AUTHENTICATION',
      provoke: async (t) => {
        const connection = server().connectionString().replace(PASSWORD, wrong);
        await streamOf(t, 'no_slot', { connection }).start();
      },
    },
    'a wrong option': {
      code: 'ERR_CONFIGURATION',
      provoke: async (t) => {
        streamOf(t, 'no_slot', { connection: `${server().connectionString()}?sslmode=${PASSWORD}` });
      },
    },
    'a connection string that is none': {
      code: 'ERR_CONFIGURATION',
      provoke: async (t) => {
        streamOf(t, 'no_slot', { connection: `postgresql://u:${PASSWORD}@[half/` });
      },
    },
    'an unknown parameter': {
      code: 'ERR_CONFIGURATION',
      provoke: async (t) => {
        streamOf(t, 'no_slot', { connection: `postgresql://u@h/?passwrod=${PASSWORD}` });
      },
    },
    'a missing slot': {
      code: 'ERR_SLOT',
      provoke: async (t) => streamOf(t, 'no_such_slot', { publications: await source() }).start(),
    },
    'a walsender that is terminated': {
      code: 'ERR_SERVER',
      provoke: async (t) => {
        const name = await source();
        const stream = streamOf(t, name);
        await stream.start();
        await sql(
          server(),
          `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${name}'`,
        );
        for await (const _ of stream);
      },
    },
    'a connection that is cut': {
      code: 'ERR_CONNECTION',
      provoke: async (t) => {
        const name = await source();
        const proxy = await TcpProxy.open(t, server().port);
        const connection = server().connectionString().replace(String(server().port), String(proxy.port));
        for await (const _ of streamOf(t, name, { connection })) proxy.cut();
      },
    },
    'a connection that is silent': {
      code: 'ERR_TIMEOUT',
      provoke: async (t) => {
        const name = await source();
        const proxy = await TcpProxy.open(t, server().port);
        const connection = server().connectionString().replace(String(server().port), String(proxy.port));
        for await (const _ of streamOf(t, name, { connection, livenessTimeoutMs: 300 })) proxy.silence();
      },
    },
    ...Object.fromEntries(
      (['throw', 'exit'] as const).map((how) => [
        `a transform: ${how}`,
        {
          code: 'ERR_WORKER',
          provoke: async (t: TestContext) => {
            const options = { transform: { ...transform, options: { badId: 3, how } } };
            for await (const _ of streamOf(t, await source(), options));
          },
        },
      ]),
    ),
    'a message that is too long': {
      code: 'ERR_PROTOCOL',
      provoke: async (t) => {
        const name = await source();
        await sql(server(), `INSERT INTO ${name} SELECT 0, repeat('${VALUE}', 100000)`);
        for await (const _ of streamOf(t, name, { maxMessageBytes: 1024 * 1024 }));
      },
    },
    'a disk that cannot be used': {
      code: 'ERR_SPILL',
      provoke: async (t) => {
        await writeFile(notOurs, '');
        t.after(() => rm(notOurs));
        const spill = { directory: notOurs, memoryBytes: 65_536 };
        for await (const _ of streamOf(t, await source(), { spill }).transactions());
      },
    },
    'a query with a value in it': {
      code: 'ERR_SERVER',
      provoke: async () => {
        await using connection = await ReplicationConnection.connect(config(), { mode: 'sql' });
        await connection.query(`SELECT '${VALUE}'::text::int`);
      },
    },
  };

  test("in a WorkerError, but for its cause: what the user's own function said", async (t) => {
    const options = { transform: { ...transform, options: { badId: 3, how: 'quote' } } };
    const error = await failure(
      (async () => {
        for await (const _ of streamOf(t, await source(), options));
      })(),
    );
    assert.ok(error instanceof WorkerError, String(error));
    const { cause, stack = '', ...fields } = error;
    assert.ok(cause instanceof Error && cause.name === 'RangeError', String(cause));
    assert.equal(cause.message, `what is ${VALUE}?`);
    for (const shown of [error.message, String(error), stack, fields, JSON.stringify(error, bigintsAsText)]) {
      assertClean(shown, 'a WorkerError without its cause');
    }
    // Whoever prints the error sees the cause: so it is documented.
    assert.ok(inspect(error).includes(VALUE));
  });

  for (const [what, { code, provoke }] of Object.entries(FAILURES)) {
    test(`in the error of ${what}`, async (t) => {
      const error = await failure(provoke(t));
      assert.ok(error instanceof WalStreamError, String(error));
      assert.equal(error.code, code, String(error));
      assertClean(error, what);
    });
  }
});
