import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Run } from '../cli/command-line.js';
import { until } from '../stream/source.js';
import { sharedServer, sql } from '../support/server.js';
import { runExample, slotIsActive } from './example.js';

suite('more examples', () => {
  const server = sharedServer();
  const stop = async (run: Run) => {
    run.child.kill('SIGINT');
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    return { stdout, stderr };
  };

  test('set up', async () => {
    await sql(
      server(),
      `CREATE TABLE people (id bigint PRIMARY KEY, name text, email text, photo text);
       ALTER TABLE people ALTER photo SET STORAGE EXTERNAL;
       CREATE PUBLICATION my_publication FOR TABLE people`,
    );
  });

  test('worker-transform: lines of JSON in order, masked', async () => {
    await using run = runExample('worker-transform', server(), { env: { MASK: 'email,name' } });
    await slotIsActive(server(), 'worker_transform_slot');
    await sql(server(), `INSERT INTO people SELECT n, NULL, 'p' || n || '@example.org' FROM generate_series(1, 500) n`);
    await sql(server(), 'DELETE FROM people');
    await until(() => run.stdout.split('\n').length > 1_000, 'all lines are there');
    const { stdout, stderr } = await stop(run);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ kind, ordinal, new: row, key }) => [kind, ordinal, (row ?? key).id]),
      ['insert', 'delete'].flatMap((kind) => Array.from({ length: 500 }, (_, at) => [kind, at, String(at + 1)])),
    );
    assert.equal(lines[0].new.name, null);
    assert.equal(new Set(lines.slice(0, 500).map(({ new: row }) => row.email)).size, 500);
    assert.doesNotMatch(stdout, /example\.org/);
    assert.match(stderr, /^stopped after 1000 lines; \d+ workers were busy for /);
  });

  test('worker-transform: it ends when its reader has gone', async () => {
    await using run = runExample('worker-transform', server());
    await slotIsActive(server(), 'worker_transform_slot');
    run.child.stdout.destroy();
    await sql(server(), 'INSERT INTO people SELECT n FROM generate_series(1, 2000) n; DELETE FROM people');
    const { code, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
  });

  test('server-sent-events: changes come with ids, and one that comes back goes on after its last', async () => {
    await using run = runExample('server-sent-events', server(), { env: { PORT: '0' } });
    await run.shows(/^listening on/m);
    await slotIsActive(server(), 'server_sent_events_slot');
    const url = /http:\S+(?=;)/.exec(run.stdout)?.[0] ?? '';

    const first = await listen(url);
    await sql(server(), `INSERT INTO people VALUES (1, 'Ada'), (2, 'Grace')`);
    await until(() => first.events().length === 2, 'both changes come');
    const [one, two] = first.events();
    assert.deepEqual([one?.data.kind, one?.data.new.name, two?.data.new.name], ['insert', 'Ada', 'Grace']);
    first.response.destroy();
    await sql(server(), `UPDATE people SET name = 'Augusta' WHERE id = 1`);

    const again = await listen(url, one?.id);
    await until(() => again.events().length === 2, 'what was missed comes');
    assert.deepEqual(
      again.events().map(({ data }) => data.new.name),
      ['Grace', 'Augusta'],
    );
    const stranger = await listen(url, '0/1-0');
    await until(() => stranger.text().startsWith('event: gap\n'), 'it hears of the gap');
    const ended = once(again.response, 'end');
    await stop(run);
    await ended;
  });

  test('outbox-relay: what committed is delivered in order, until it is taken', async () => {
    const taken: string[] = [];
    const keys = new Set<unknown>();
    let refusals = 2;
    const receiver = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      if (body === 'wrong') response.statusCode = 400;
      else if (refusals-- > 0) response.statusCode = 503;
      else {
        taken.push(body);
        keys.add(request.headers['idempotency-key']);
      }
      response.end();
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
    try {
      await using run = runExample('outbox-relay', server(), { env: { WEBHOOK_URL: url } });
      await slotIsActive(server(), 'outbox_relay_slot');
      const say = (text: string) => `SELECT pg_logical_emit_message(true, 'outbox', '${text}');`;
      await sql(server(), `BEGIN; ${say('one')} ${say('two')} COMMIT`);
      await sql(server(), `BEGIN; ${say('never')} ROLLBACK`);
      await sql(server(), `BEGIN; ${say('wrong')} ${say('three')} COMMIT`);
      await sql(server(), `SELECT pg_logical_emit_message(true, 'elsewhere', 'not for us')`);
      await until(() => taken.length === 3, 'three messages are delivered');
      const { stdout, stderr } = await stop(run);
      assert.equal(stderr, '');
      assert.deepEqual(taken, ['one', 'two', 'three']);
      assert.equal(keys.size, 3);
      const outcomes = stdout.match(/(?<=^[\dA-F]+\/[\dA-F]+ ).*/gm);
      assert.deepEqual(outcomes, [
        'not delivered yet: 503',
        'not delivered yet: 503',
        'delivered: 200',
        'delivered: 200',
        'refused for good: 400',
        'delivered: 200',
      ]);
    } finally {
      receiver.close();
      receiver.closeAllConnections();
    }
  });

  test('outbox-relay: Ctrl+C ends it while nobody takes a message, which comes again', async () => {
    {
      await using run = runExample('outbox-relay', server(), { env: { WEBHOOK_URL: 'http://127.0.0.1:1/' } });
      await slotIsActive(server(), 'outbox_relay_slot');
      await sql(server(), `SELECT pg_logical_emit_message(true, 'outbox', 'patient')`);
      await run.shows(/not delivered yet/);
      assert.equal((await stop(run)).stderr, '');
    }
    await using run = runExample('outbox-relay', server());
    await run.shows(/ patient$/m);
    await stop(run);
  });

  for (const [name, env, line] of [
    [
      'outbox-relay',
      { WEBHOOK_URL: 'foo' },
      'WEBHOOK_URL is no URL that can be used: it has to be like https://example.org/hook',
    ],
    [
      'outbox-relay',
      { WEBHOOK_URL: 'ftp://a/' },
      'WEBHOOK_URL is no URL that can be used: it has to be like https://example.org/hook',
    ],
    [
      'server-sent-events',
      { PORT: '99999' },
      "PORT is '99999': it has to be a whole number from 0 to 65535, such as 8080",
    ],
    ['cache-mirror', { PORT: '99999' }, "PORT is '99999': it has to be a whole number from 0 to 65535, such as 8081"],
    ['cache-mirror', { TABLE: 'foo' }, "TABLE is 'foo': it has to be a schema and a table, such as public.orders"],
    ['cache-mirror', { TABLE: 'a.b.c' }, "TABLE is 'a.b.c': it has to be a schema and a table, such as public.orders"],
    [
      'safe-transaction-consumer',
      { SINK_URL: 'foo' },
      'SINK_URL is no URL that can be used: it has to be like postgresql://user@host:5432/database',
    ],
    [
      'safe-transaction-consumer',
      { STATS_INTERVAL_MS: '2147483648' },
      "STATS_INTERVAL_MS is '2147483648': it has to be a whole number from 1 to 2147483647, such as 5000",
    ],
    [
      'polling-example',
      { POLL_TIMEOUT_MS: '2147483648' },
      "POLL_TIMEOUT_MS is '2147483648': it has to be a whole number from 1 to 2147483647, such as 1000",
    ],
  ] as const) {
    test(`${name}: ${Object.entries(env)} is one line that shows the right form`, async () => {
      await using run = runExample(name, undefined, { env });
      const { code, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [1, `${line}\n`]);
    });
  }

  test('cache-mirror: equals the table, written to before, while and after it is filled', async () => {
    await sql(server(), `TRUNCATE people`);
    await sql(
      server(),
      `INSERT INTO people SELECT n, 'old', NULL, repeat('x', 9000) FROM generate_series(9007199254740990, 9007199254741090) n`,
    );
    const writing = new AbortController();
    const writer = (async () => {
      for (let id = 1; !writing.signal.aborted; id++) {
        await sql(
          server(),
          `BEGIN; INSERT INTO people VALUES (${id}, 'new'); UPDATE people SET id = id + 1000000 WHERE id = ${id - 3};
           UPDATE people SET name = 'moved' WHERE id = 9007199254740990 + ${id}; DELETE FROM people WHERE id = 9007199254741090 - ${id}; COMMIT`,
        );
      }
    })();
    for (const kill of ['SIGKILL', 'SIGINT'] as const) {
      await using run = runExample('cache-mirror', server(), { env: { PORT: '0', TABLE: 'public.people' } });
      await run.shows(/rows at /);
      if (kill === 'SIGKILL') continue;
      writing.abort();
      await writer;
      const url = /http:\S+(?=;)/.exec(run.stdout)?.[0] ?? '';
      const [{ rows } = {}] = await sql(
        server(),
        `SELECT json_agg(json_build_object('id', id::text, 'name', name, 'email', email, 'photo', photo)) AS rows FROM people`,
      );
      type Cached = { id: string };
      const byId = (all: unknown) => (all as Cached[]).sort((a, b) => (a.id < b.id ? -1 : 1));
      await until(async () => {
        const response = await fetch(url);
        return isDeepStrictEqual(byId(await response.json()), byId(rows));
      }, 'the cache equals the table');
      assert.match((await stop(run)).stdout, /^stopped with \d+ rows$/m);
    }
    assert.deepEqual(await sql(server(), `SELECT FROM pg_replication_slots WHERE slot_name = 'cache_mirror_slot'`), []);
  });

  for (const [what, columns, alter] of [
    ['REPLICA IDENTITY FULL', 'id int PRIMARY KEY, other int, note text', 'FULL'],
    ['USING INDEX', 'note text, other int, id int NOT NULL CONSTRAINT keyed_id UNIQUE', 'USING INDEX keyed_id'],
    ['a key that includes more', 'id int, other int, note text, PRIMARY KEY (id) INCLUDE (note)', 'DEFAULT'],
  ] as const) {
    test(`cache-mirror: equals a table with ${what}`, async (t) => {
      await sql(
        server(),
        `CREATE TABLE keyed (${columns}); ALTER TABLE keyed REPLICA IDENTITY ${alter};
         ALTER TABLE keyed ALTER note SET STORAGE EXTERNAL;
         INSERT INTO keyed (id, other, note) SELECT n, 7, repeat('x', 2500) FROM generate_series(1, 9) n;
         ALTER PUBLICATION my_publication ADD TABLE keyed`,
      );
      t.after(() => sql(server(), 'DROP TABLE keyed'));
      await using run = runExample('cache-mirror', server(), { env: { PORT: '0', TABLE: 'public.keyed' } });
      await run.shows(/^9 rows of public\.keyed/m);
      await sql(
        server(),
        `UPDATE keyed SET other = 8 WHERE id = 1; UPDATE keyed SET id = 100 WHERE id = 2; DELETE FROM keyed WHERE id = 3;
         UPDATE keyed SET note = 'new' WHERE id = 4; INSERT INTO keyed (id) VALUES (10)`,
      );
      await run.shows(/^9 rows at/m);
      const url = /http:\S+(?=;)/.exec(run.stdout)?.[0] ?? '';
      const [{ rows } = {}] = await sql(
        server(),
        `SELECT json_agg(json_build_object('id', id::text, 'other', other::text, 'note', note) ORDER BY id) AS rows FROM keyed`,
      );
      await until(async () => {
        const cached = (await (await fetch(url)).json()) as { id: string }[];
        return isDeepStrictEqual(
          cached.sort((a, b) => Number(a.id) - Number(b.id)),
          rows,
        );
      }, 'the cache equals the table');
      await stop(run);
    });
  }

  for (const [what, alter] of [
    ['without a key', 'ALTER TABLE bare REPLICA IDENTITY DEFAULT'],
    ['with FULL and no key', 'ALTER TABLE bare REPLICA IDENTITY FULL'],
    ['with NOTHING', 'ALTER TABLE bare ADD PRIMARY KEY (id), REPLICA IDENTITY NOTHING'],
  ] as const) {
    test(`cache-mirror: a table ${what} is refused before it is served`, async (t) => {
      await sql(server(), `CREATE TABLE bare (id int); ${alter}`);
      t.after(() => sql(server(), 'DROP TABLE bare'));
      await using run = runExample('cache-mirror', server(), { env: { PORT: '0', TABLE: 'public.bare' } });
      const { code, stdout, stderr } = await run.ended;
      assert.deepEqual(
        [code, stdout, stderr],
        [1, '', 'public.bare needs a primary key, or REPLICA IDENTITY USING INDEX\n'],
      );
    });
  }

  test('raw-messages: counts what each table was written, and confirms it', async () => {
    await sql(server(), 'TRUNCATE people; CREATE TABLE other (id int PRIMARY KEY)');
    await sql(server(), 'ALTER PUBLICATION my_publication ADD TABLE other');
    {
      await using run = runExample('raw-messages', server());
      await slotIsActive(server(), 'raw_messages_slot');
      await sql(server(), `INSERT INTO people VALUES (1), (2); UPDATE people SET name = 'x'; DELETE FROM people`);
      await sql(server(), 'INSERT INTO other VALUES (1)');
      await run.shows(/public\.people 6 \([1-9]\d* bytes\), public\.other 1 \([1-9]\d* bytes\)$/m);
      await stop(run);
    }
    await using run = runExample('raw-messages', server());
    await slotIsActive(server(), 'raw_messages_slot');
    await sql(server(), 'INSERT INTO other VALUES (2)');
    await run.shows(/^[\dA-F]+\/[\dA-F]+ public\.other 1 \(/m);
    await stop(run);
  });
});

interface Listener {
  readonly response: IncomingMessage;
  readonly text: () => string;
  // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives.
  readonly events: () => { id: string; data: any }[];
}

/** Listens as a browser does; with the id of the event that it had last. */
async function listen(url: string, lastEventId?: string): Promise<Listener> {
  const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
  const [response] = (await once(get(url, { headers }), 'response')) as [IncomingMessage];
  let text = '';
  response
    .on('error', () => {})
    .setEncoding('utf8')
    .on('data', (part: string) => {
      text += part;
    });
  return {
    response,
    text: () => text,
    events: () =>
      Array.from(text.matchAll(/^id: (.*)\ndata: (.*)\n\n/gm), ([, id = '', data = '']) => ({
        id,
        data: JSON.parse(data),
      })),
  };
}
