import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Writable } from 'node:stream';
import { suite, type TestContext, test } from 'node:test';
import { inspect } from 'node:util';
import { pino } from 'pino';
import {
  ConfigurationError,
  Lsn,
  type StreamLogger,
  type StreamMessages,
  WalStream,
  type WalStreamOptions,
} from '../../src/index.js';
import { FakeWalSender, type FakeWalSenderOptions, WalTape } from '../../src/testing/index.js';
import { failure, until } from './source.js';

const NAMES = Object.keys({
  'pg-walstream:connect': true,
  'pg-walstream:connection-lost': true,
  'pg-walstream:connection-resumed': true,
  'pg-walstream:slot': true,
  'pg-walstream:batch': true,
  'pg-walstream:ack': true,
  'pg-walstream:spill': true,
  'pg-walstream:worker-error': true,
  'pg-walstream:invalid-row': true,
  'pg-walstream:warning': true,
  'pg-walstream:end': true,
} satisfies Record<keyof StreamMessages, true>) as (keyof StreamMessages)[];

const SECRET = 'tell nobody';
const PASSWORD = 'a-password';
let slots = 0;

type Heard = { readonly [Name in keyof StreamMessages]: StreamMessages[Name][] };

/** What is said of one slot: other tests run beside this one. */
function listen(t: TestContext, slot: string): Heard {
  const heard = Object.fromEntries(NAMES.map((name) => [name, [] as { slot: string }[]]));
  for (const name of NAMES) {
    const onMessage = (message: unknown) => {
      const said = message as { slot: string };
      if (said.slot === slot) heard[name]?.push(said);
    };
    subscribe(name, onMessage);
    t.after(() => unsubscribe(name, onMessage));
  }
  return heard as unknown as Heard;
}

/** A pino that writes to the list. */
function log(): { readonly logger: StreamLogger; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      for (const line of String(chunk).trim().split('\n')) lines.push(JSON.parse(line));
      done();
    },
  });
  return { logger: pino({ level: 'debug', base: null }, destination), lines };
}

function messagesOf(lines: readonly Record<string, unknown>[]): unknown[] {
  return lines.map(({ msg }) => msg);
}

interface Setup {
  readonly slot: string;
  readonly wal: WalTape;
  readonly sender: FakeWalSender;
  readonly heard: Heard;
  readonly lines: Record<string, unknown>[];
  readonly stream: WalStream;
}

async function setUp(
  t: TestContext,
  wal: WalTape,
  options: Partial<WalStreamOptions> = {},
  senderOptions: Partial<FakeWalSenderOptions> = {},
): Promise<Setup> {
  const slot = `heard_${++slots}`;
  const sender = await FakeWalSender.listen({
    wal,
    slots: [slot],
    publications: ['p'],
    password: PASSWORD,
    ...senderOptions,
  });
  t.after(() => sender.close());
  const { logger, lines } = log();
  const heard = listen(t, slot);
  const stream = new WalStream({
    connection: sender.connectionString(),
    slot,
    publications: 'p',
    stopLsn: wal.endLsn,
    retry: { maxAttempts: 0 },
    logger,
    ...options,
  });
  t.after(() => stream.stop({ drain: 'none' }));
  return { slot, wal, sender, heard, lines, stream };
}

function tape(rows = 3): WalTape {
  const wal = new WalTape();
  const item = wal.relation({ table: 'orders', columns: { id: 'int8', total: 'text' }, key: ['id'] });
  for (let id = 1; id <= rows; id++) wal.transaction([item.insert({ id, total: SECRET })]);
  return wal;
}

function assertNothingSecret(lines: readonly unknown[]): void {
  const text = JSON.stringify(lines);
  for (const secret of [SECRET, PASSWORD]) assert.ok(!text.includes(secret), text);
}

suite('channels and log', () => {
  test('a stream from its connection to its end', async (t) => {
    const { slot, wal, sender, heard, lines, stream } = await setUp(t, tape());
    let changes = 0;
    for await (const event of stream) if (event.kind === 'insert') changes++;
    assert.equal(changes, 3);
    const [connected, ...more] = heard['pg-walstream:connect'];
    assert.ok(connected !== undefined && more.length === 0);
    assert.equal(connected.slot, slot);
    assert.equal(connected.host, `127.0.0.1:${sender.port}`);
    assert.equal(Math.floor(connected.serverVersion / 10_000), 18);
    assert.equal(connected.lsn, wal.startLsn);
    assert.match(connected.systemIdentifier, /^\d+$/);
    const batches = heard['pg-walstream:batch'];
    assert.equal(
      batches.reduce((count, batch) => count + batch.changeCount, 0),
      3,
    );
    assert.deepEqual(
      batches.map(({ sequence }) => sequence),
      batches.map((_, at) => at),
    );
    assert.ok(batches.every(({ byteCount }) => byteCount > 0));
    const acks = heard['pg-walstream:ack'].map(({ lsn }) => lsn);
    assert.equal(acks.at(-1), wal.endLsn);
    assert.deepEqual(acks, [...acks].sort(Lsn.compare));
    assert.deepEqual(heard['pg-walstream:end'], [{ slot, error: undefined }]);
    assert.deepEqual(heard['pg-walstream:slot'], []);
    assert.deepEqual(messagesOf(lines), ['connected', 'stream ended']);
    const [line] = lines;
    assert.deepEqual(
      { slot: line?.slot, level: line?.level, lsn: line?.lsn },
      { slot, level: pino.levels.values.info, lsn: Lsn.format(wal.startLsn) },
    );
    assertNothingSecret(lines);
  });

  test('a slot that is created', async (t) => {
    const name = `heard_new_${++slots}`;
    const heard = listen(t, name);
    const { stream, lines } = await setUp(t, tape(), {
      slot: { name, create: 'if-missing', temporary: true },
      stopLsn: undefined,
    });
    await stream.start();
    const [created] = heard['pg-walstream:slot'];
    assert.ok(created !== undefined);
    assert.deepEqual({ action: created.action, temporary: created.temporary }, { action: 'created', temporary: true });
    assert.deepEqual(messagesOf(lines), ['slot created', 'connected']);
    await stream.stop();
    await stream.stop();
    assert.equal(heard['pg-walstream:end'].length, 1);
  });

  test('a connection that is lost and made again', async (t) => {
    const { slot, heard, lines, stream } = await setUp(
      t,
      tape(50),
      { retry: { minDelayMs: 1 } },
      { faults: [{ kind: 'cut', at: { message: 60 } }] },
    );
    let changes = 0;
    for await (const event of stream) if (event.kind === 'insert') changes++;
    assert.equal(changes, 50);
    const [lost] = heard['pg-walstream:connection-lost'];
    assert.ok(lost !== undefined && lost.attempt === 1 && lost.delayMs > 0 && lost.error instanceof Error);
    assert.deepEqual(
      heard['pg-walstream:connection-resumed'].map((resumed) => resumed.slot),
      [slot],
    );
    assert.equal(heard['pg-walstream:connect'].length, 2);
    assert.deepEqual(messagesOf(lines), [
      'connected',
      'connection lost',
      'connected',
      'connection resumed',
      'stream ended',
    ]);
    const { error } = lines[1] as { error: Record<string, unknown> };
    assert.equal(error.code, 'ERR_CONNECTION');
    assert.equal(error.retryable, true);
    assertNothingSecret(lines);
  });

  test('an error that ends the stream, and one that keeps it from starting', async (t) => {
    const ended = await setUp(t, tape(), {}, { faults: [{ kind: 'cut', at: { message: 4 } }] });
    const error = await failure(
      (async () => {
        for await (const _ of ended.stream);
      })(),
    );
    assert.deepEqual(ended.heard['pg-walstream:end'], [{ slot: ended.slot, error }]);
    assert.deepEqual(messagesOf(ended.lines), ['connected', 'stream failed']);
    assert.equal(ended.lines[1]?.level, pino.levels.values.error);
    const refused = await setUp(t, tape(), { publications: 'missing' });
    const reason = await failure(refused.stream.start());
    await refused.stream.stop();
    assert.deepEqual(refused.heard['pg-walstream:end'], [{ slot: refused.slot, error: reason }]);
    assert.deepEqual(messagesOf(refused.lines), ['stream failed']);
    const [line] = refused.lines as { error: Record<string, unknown> }[];
    assert.equal(line?.error.code, 'ERR_CONFIGURATION');
  });

  test('a validator that throws, and rows that are dropped: no value in the log', async (t) => {
    const wal = new WalTape();
    const item = wal.relation({ table: 'orders', columns: { id: 'int8', total: 'text' }, key: ['id'] });
    wal.transaction([item.insert({ id: 1, total: '6.66' }), item.insert({ id: 2, total: SECRET })]);
    const module = new URL('./validators/by-hand.js', import.meta.url);
    const thrown = await setUp(t, wal, { validate: { module, export: 'throwing' } });
    await failure(
      (async () => {
        for await (const _ of thrown.stream);
      })(),
    );
    const failures = thrown.heard['pg-walstream:worker-error'];
    assert.deepEqual(
      failures.map(({ attempt }) => attempt),
      [1, 2],
    );
    assert.ok(failures.every(({ error, sequence }) => /told to throw/.test(inspect(error)) && sequence === 0));
    assert.deepEqual(messagesOf(thrown.lines), ['connected', 'worker failed', 'worker failed', 'stream failed']);
    assert.ok(!JSON.stringify(thrown.lines).includes('told to throw'));
    const dropped = await setUp(t, wal, { validate: { module, export: 'whole', onInvalid: 'drop' } });
    for await (const _ of dropped.stream);
    const [row, ...more] = dropped.heard['pg-walstream:invalid-row'];
    assert.deepEqual(more, []);
    assert.deepEqual(row, { slot: dropped.slot, lsn: row?.lsn, relation: 'public.orders', ordinal: 0, paths: [''] });
    assert.deepEqual(messagesOf(dropped.lines), ['connected', 'invalid rows dropped', 'stream ended']);
    assert.ok(!JSON.stringify(dropped.lines).includes('6.66'));
    assertNothingSecret(dropped.lines);
  });

  test('transactions that go to disk', async (t) => {
    const wal = new WalTape();
    const item = wal.relation({ table: 'orders', columns: { id: 'int8', total: 'text' }, key: ['id'] });
    wal.transaction(Array.from({ length: 2_000 }, (_, id) => item.insert({ id, total: SECRET.repeat(50) })));
    const { heard, lines, stream } = await setUp(t, wal, { spill: { memoryBytes: 64 * 1024 } });
    let xid: number | undefined;
    for await (const unit of stream.transactions()) if (unit.kind === 'transaction') ({ xid } = unit);
    const spilled = heard['pg-walstream:spill'];
    assert.ok(spilled.length > 0 && spilled.every((message) => message.xid === xid && message.byteCount > 0));
    assert.ok(messagesOf(lines).includes('transaction spilled'));
    assertNothingSecret(lines);
  });

  test('warnings, those of the start and later ones', async (t) => {
    const wal = new WalTape();
    const item = wal.relation({ table: 'orders', columns: { id: 'int8', total: 4_711_000 } });
    wal.transaction([item.insert({ id: 1, total: SECRET })]);
    const { heard, lines, stream } = await setUp(t, wal);
    for await (const _ of stream);
    assert.ok(stream.warnings.length > 0);
    assert.deepEqual(
      heard['pg-walstream:warning'].map(({ message }) => message),
      stream.warnings,
    );
    const warned = lines.filter(({ level }) => level === pino.levels.values.warn);
    assert.deepEqual(messagesOf(warned), stream.warnings);
    assertNothingSecret(lines);
  });

  test('a logger that throws does not stop the stream, and is not silent', async (t) => {
    const thrown: unknown[] = [];
    const onUncaught = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const keep = (error: unknown) => thrown.push(error);
    process.on('uncaughtException', keep);
    t.after(() => {
      process.off('uncaughtException', keep);
      for (const listener of onUncaught) process.on('uncaughtException', listener);
    });
    const bad = () => {
      throw new RangeError('of the logger');
    };
    const { stream } = await setUp(t, tape(), { logger: { debug: bad, info: bad, warn: bad, error: bad } });
    let changes = 0;
    for await (const event of stream) if (event.kind === 'insert') changes++;
    assert.equal(changes, 3);
    // When it connects, and at its end.
    await until(() => thrown.length >= 2, 'both are reported');
    assert.ok(thrown.every((error) => error instanceof RangeError));
  });

  test('what is no logger is refused', () => {
    for (const [logger, option] of [
      [console.log, 'logger'],
      [null, 'logger'],
      [{ debug() {}, info() {}, warn() {} }, 'logger.error'],
    ] as const) {
      assert.throws(
        () => new WalStream({ connection: 'postgresql://h', slot: 's', publications: 'p', logger: logger as never }),
        (error) => error instanceof ConfigurationError && error.option === option,
      );
    }
    assert.equal(
      new WalStream({ connection: 'postgresql://h', slot: 's', publications: 'p', logger: console }).slot,
      's',
    );
  });
});
