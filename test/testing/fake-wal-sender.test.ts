import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { createSlot, dropSlot, listSlots } from '../../src/catalog/index.js';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { CopyBoth } from '../../src/connection/copy-both.js';
import { PgConnection } from '../../src/connection/pg-connection.js';
import { AuthenticationError, ConfigurationError, ConnectionError, ServerError, SlotError } from '../../src/errors.js';
import { encodeMessage } from '../../src/pgoutput/encoder.js';
import type { WalStep } from '../../src/testing/index.js';
import { CertificateAuthority } from '../connection/certificates.js';
import { eventsOf, failureOf, insertsOf, ordersTape, SLOT, sender, streamFrom } from './events.js';

const { LogicalReplicationService, PgoutputPlugin } = createRequire(import.meta.url)('pg-logical-replication');

suite('a stream from a fake sender', () => {
  test('gives the events of the tape in order, and confirms them', async () => {
    const { tape, orders, transactions } = ordersTape(2, 1);
    const last = tape.transaction([orders.update({ id: 9, note: 'changed' }, { id: 1 }), orders.delete({ id: 2 })]);
    await using from = await sender(tape);
    const events = (await eventsOf(from, { stopLsn: tape.endLsn })).map((text) => JSON.parse(text));
    assert.deepEqual(
      events.map((event) => event.kind),
      'begin relation insert insert commit begin insert commit begin update delete commit'.split(' '),
    );
    assert.deepEqual(events[9].new, { id: '9', note: 'changed' });
    assert.deepEqual(events[9].key, { id: '1' });
    assert.deepEqual(
      [events[0].xid, events[5].xid, events[8].xid],
      [transactions[0]?.xid, transactions[1]?.xid, last.xid],
    );
    assert.equal(from.slot(SLOT)?.confirmedFlushLsn, last.commitEndLsn);
    const flushes = from.feedback.map(({ flush }) => flush);
    assert.deepEqual(
      flushes,
      [...flushes].sort((a, b) => (a < b ? -1 : 1)),
      'flush never goes back',
    );
  });

  test('goes on from what was confirmed, and gets the relations again', async () => {
    const { tape, transactions } = ordersTape(2, 3, 1);
    await using from = await sender(tape);
    await using stream = streamFrom(from, { ack: 'manual' });
    for await (const event of stream) {
      if (event.kind !== 'commit') continue;
      stream.ack(event);
      if (event.commitEndLsn === transactions[1]?.commitEndLsn) break;
    }
    const events = (await eventsOf(from, { stopLsn: tape.endLsn })).map((text) => JSON.parse(text));
    assert.deepEqual(
      events.map((event) => event.kind),
      ['begin', 'relation', 'insert', 'commit'],
    );
    assert.equal(events[2].new.id, '6');
  });

  test('gets what is added while it runs', async () => {
    const { tape, insert } = ordersTape();
    await using from = await sender(tape);
    await using stream = streamFrom(from);
    await stream.start();
    const next = stream.nextEvent();
    await sleep(20);
    const { commitEndLsn } = tape.transaction([insert()]);
    assert.equal((await next)?.kind, 'begin');
    while ((await stream.nextEvent())?.kind !== 'commit');
    void stream.nextEvent({ timeoutMs: 5_000 });
    await from.slot(SLOT)?.confirmed(commitEndLsn);
  });

  test('a script of steps', async () => {
    const lsn = 0x2000000n;
    const message = { kind: 'message', transactional: false, lsn, prefix: 'p', content: Buffer.from('c') } as const;
    const steps: WalStep[] = [
      { kind: 'pause', ms: 5 },
      { kind: 'keepalive', serverWalEnd: lsn - 1n, replyRequested: true },
      { kind: 'wal', walStart: lsn, data: encodeMessage(message) },
      // The answer to the keepalive comes meanwhile.
      { kind: 'pause', ms: 100 },
      { kind: 'error', sqlState: '57P01', message: 'terminating connection due to administrator command' },
    ];
    await using from = await sender(() => steps);
    const error = await failureOf(from);
    assert.ok(error instanceof ServerError && error.sqlState === '57P01' && error.retryable);
    assert.equal(from.feedback[0]?.write, lsn - 1n);
  });

  test('what a script throws is thrown by close()', async () => {
    const from = await sender(() => {
      throw new RangeError('planted');
    });
    await failureOf(from);
    await assert.rejects(from.close(), RangeError);
    await from.close();
  });

  test('over a Unix socket', { skip: process.platform === 'win32' && 'Windows has none' }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sender-'));
    try {
      const { tape } = ordersTape(1);
      await using from = await sender(tape, { socketDirectory: directory });
      assert.deepEqual((await insertsOf(from, { stopLsn: tape.endLsn })).ids, [1]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

suite('authentication and TLS', () => {
  for (const auth of ['password', 'scram-sha-256'] as const) {
    test(auth, async () => {
      const { tape } = ordersTape(1);
      await using from = await sender(tape, { auth, password: 'sécret /?' });
      const connection = `${from.connectionString()}?require_auth=${auth}`;
      assert.deepEqual((await insertsOf(from, { connection, stopLsn: tape.endLsn })).ids, [1]);

      const error = await failureOf(from, {
        connection: { host: '127.0.0.1', port: from.port, user: 'test', password: 'wrong' },
      });
      assert.ok(error instanceof AuthenticationError && error.sqlState === '28P01', String(error));
    });
  }

  test('TLS from the first stream byte to the last', async (t) => {
    const authority = await CertificateAuthority.create('authority of a test');
    const directory = await mkdtemp(join(tmpdir(), 'sender-'));
    t.after(() => rm(directory, { recursive: true }));
    const sslRootCert = join(directory, 'root.crt');
    await writeFile(sslRootCert, authority.cert);
    const { tape } = ordersTape(300, 300);
    await using from = await sender(tape, {
      tls: await authority.sign('localhost'),
      auth: 'scram-sha-256',
      password: 'secret',
    });
    const stopLsn = tape.endLsn;
    // No acknowledgement: the same again for each.
    const plain = await insertsOf(from, {
      connection: from.connectionString({ sslmode: 'disable' }),
      stopLsn,
      ack: 'manual',
    });
    assert.equal(plain.ids.length, 600);
    assert.deepEqual(await insertsOf(from, { stopLsn, ack: 'manual' }), plain, 'sslmode=require');
    const verified = {
      host: 'localhost',
      port: from.port,
      user: 'test',
      password: 'secret',
      database: 'test',
      sslRootCert,
    };
    for (const sslNegotiation of ['postgres', 'direct'] as const) {
      const connection = { ...verified, sslMode: 'verify-full', sslNegotiation } as const;
      assert.deepEqual(await insertsOf(from, { connection, stopLsn, ack: 'manual' }), plain, sslNegotiation);
    }
    const error = await failureOf(from, {
      connection: from.connectionString({ sslmode: 'verify-full', sslrootcert: sslRootCert }),
    });
    assert.match(error.message, /certificate|altnames|127\.0\.0\.1/i);
  });

  test('without TLS it says no', async () => {
    await using from = await sender(ordersTape(1).tape);
    const error = await failureOf(from, { connection: from.connectionString({ sslmode: 'require' }) });
    assert.match(error.message, /TLS|SSL/i);
    const direct = from.connectionString({ sslmode: 'require', sslnegotiation: 'direct' });
    assert.ok((await failureOf(from, { connection: direct })) instanceof ConnectionError);
  });
});

suite('slots and the catalogue', () => {
  test('are created, shown, advanced and dropped', async () => {
    const { tape, transactions } = ordersTape(1, 1);
    await using from = await sender(tape, { slots: [] });
    const config = resolveConnectionConfig(from.connectionString());
    await using session = await PgConnection.connect(config, { mode: 'logical' });
    assert.deepEqual(await listSlots(session), []);
    const made = await createSlot(session, { kind: 'logical', name: 'made', failover: true });
    assert.equal(made.consistentPoint, tape.endLsn);
    await createSlot(session, { kind: 'logical', name: 'brief', temporary: true });
    await assert.rejects(createSlot(session, { kind: 'logical', name: 'made' }), ConfigurationError);
    assert.deepEqual(
      (await listSlots(session)).map(({ name, failover, temporary }) => ({ name, failover, temporary })),
      [
        { name: 'made', failover: true, temporary: false },
        { name: 'brief', failover: false, temporary: true },
      ],
    );
    assert.deepEqual(await session.identifySystem(), {
      systemId: '7000000000000000001',
      timeline: 1,
      xLogPos: transactions[1]?.commitEndLsn,
      database: 'test',
    });
    await dropSlot(session, 'made');
    await session.close();
    while (from.slot('brief') !== undefined) await sleep(5);
    assert.equal(from.slot('made'), undefined);
  });

  test('a slot that is missing, in use, invalidated, or has passed the position', async () => {
    const { tape } = ordersTape(1);
    await using from = await sender(tape, {
      slots: [
        { name: 'held', activePid: 4711 },
        { name: 'lost', invalidationReason: 'wal_removed' },
        { name: 'ahead', confirmedFlushLsn: tape.endLsn },
      ],
    });
    const reasons = new Map<string, string>();
    for (const slot of ['nowhere', 'held', 'lost', 'ahead']) {
      const error = await failureOf(from, { slot, ...(slot === 'ahead' && { startLsn: tape.startLsn }) });
      assert.ok(error instanceof SlotError, String(error));
      reasons.set(slot, error.reason);
    }
    assert.deepEqual([...reasons.values()], ['missing', 'in-use', 'invalidated', 'gap']);
  });

  test('a publication that is missing, and wal_level', async () => {
    const { tape } = ordersTape(1);
    await using from = await sender(tape, { publications: [] });
    const error = await failureOf(from);
    assert.ok(error instanceof ConfigurationError && error.option === 'publications');
    await using replica = await sender(tape, { settings: { wal_level: 'replica' } });
    assert.match((await failureOf(replica)).message, /wal_level is replica/);
  });

  test('a second stream from a slot is refused while the first lasts', async () => {
    const { tape } = ordersTape(1);
    await using from = await sender(tape);
    await using first = streamFrom(from);
    await first.start();
    const error = await failureOf(from);
    assert.ok(error instanceof SlotError && error.reason === 'in-use', String(error));
    await first.stop();
    assert.equal((await insertsOf(from, { stopLsn: tape.endLsn })).error, undefined);
  });

  test('a cancel request ends a COPY with an error', async () => {
    await using from = await sender(ordersTape(1).tape);
    const config = resolveConnectionConfig(from.connectionString());
    const session = await PgConnection.connect(config, { mode: 'logical' });
    await session.cancel();
    let end: unknown;
    const ended = new Promise<void>((resolve) => {
      const handler = {
        onCopyData() {},
        onReadEnd() {},
        onSlabEnd() {},
        onNotice() {},
        onEnd(error: unknown) {
          end = error;
          resolve();
        },
      };
      const command = `START_REPLICATION SLOT "${SLOT}" LOGICAL 0/0 (proto_version '1', publication_names '${SLOT}')`;
      void CopyBoth.start(session, command, handler).then(() => session.cancel());
    });
    await ended;
    assert.ok(end instanceof ServerError && end.sqlState === '57014', String(end));
  });

  test('create if missing: what was before is not in it', async () => {
    const { tape, insert } = ordersTape(2);
    await using from = await sender(tape, { slots: [] });
    await using stream = streamFrom(from, { slot: { name: 'fresh', create: 'if-missing' } });
    await stream.start();
    tape.transaction([insert()]);
    let event = await stream.nextEvent();
    while (event?.kind !== 'insert') event = await stream.nextEvent();
    assert.equal(event.new.id, 3n);
  });

  test('SQL that it does not know is an error, unless the test answers', async () => {
    const answerQuery = (sql: string) =>
      sql === 'SELECT now()' ? { columns: ['now'], rows: [['2026-01-01']] } : undefined;
    await using from = await sender(ordersTape().tape, { answerQuery });
    const client = new pg.Client({ connectionString: from.connectionString() });
    await client.connect();
    try {
      assert.deepEqual((await client.query('SELECT now()')).rows, [{ now: '2026-01-01' }]);
      assert.deepEqual((await client.query('SHOW wal_level')).rows, [{ wal_level: 'logical' }]);
      await assert.rejects(client.query('SELECT secret'), (error: Error & { code?: string }) => {
        assert.equal(error.code, '42601');
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
      await assert.rejects(client.query('SELECT $1', ['x']), { code: '0A000' });
      assert.deepEqual((await client.query('SELECT now()')).rowCount, 1);
      assert.ok(from.statements.includes('SELECT secret'));
    } finally {
      await client.end();
    }
  });
});

suite('options', () => {
  const { tape } = ordersTape();
  const wrong: [string, Record<string, unknown>][] = [
    ['nonsense', { nonsense: 1 }],
    ['wal', { wal: 5 }],
    ['slots', { slots: 'shop' }],
    ['slots.name', { slots: ['Shop'] }],
    ['slots', { slots: ['shop', 'shop'] }],
    ['publications', { publications: [''] }],
    ['port', { port: -1 }],
    ['auth', { auth: 'md5' }],
    ['password', { auth: 'password' }],
    ['tls', { tls: { cert: 'x' } }],
    ['serverVersion', { serverVersion: 'new' }],
    ['timeline', { timeline: 0 }],
    ['fault.kind', { faults: [{ kind: 'explode' }] }],
    ['fault.at', { faults: [{ kind: 'cut' }] }],
    ['fault.at.byte', { faults: [{ kind: 'stall', at: { byte: -1 } }] }],
    ['fault.length', { faults: [{ kind: 'frameLength', message: 0 }] }],
    ['fault.sqlState', { faults: [{ kind: 'refuse', sqlState: 'no' }] }],
    ['answerQuery', { answerQuery: 'yes' }],
  ];
  for (const [option, given] of wrong) {
    test(`${option}: ${Object.keys(given)}`, async () => {
      const options = { wal: tape, slots: ['s'], ...given };
      await assert.rejects(sender(options.wal as never, options as never), (error: unknown) => {
        assert.ok(error instanceof ConfigurationError);
        assert.equal(error.option, option);
        return true;
      });
    });
  }
});

suite('other clients', () => {
  test('pg-logical-replication', async () => {
    const { tape } = ordersTape(3, 2);
    await using from = await sender(tape);
    const service = new LogicalReplicationService(
      { connectionString: from.connectionString() },
      { acknowledge: { auto: true, timeoutSeconds: 0 } },
    );
    const ids: string[] = [];
    const done = new Promise<void>((resolve) => {
      service.on('data', (_lsn: string, message: { tag: string; new?: { id: string } }) => {
        if (message.tag === 'insert') ids.push(String(message.new?.id));
        if (ids.length === 5) resolve();
      });
    });
    const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [SLOT] });
    const subscribed = service.subscribe(plugin, SLOT).catch(() => {});
    await done;
    await service.stop();
    await subscribed;
    assert.deepEqual(ids, ['1', '2', '3', '4', '5']);
  });
});
