import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { ConfigurationError } from '../src/errors.js';
import {
  resolveNextEventOptions,
  resolveStopOptions,
  resolveStreamOptions,
  type WalStreamOptions,
} from '../src/options.js';
import { WalStream } from '../src/stream/wal-stream.js';
import fc from './support/properties.js';

const base = { connection: 'postgresql://u@localhost/d', slot: 's', publications: 'p' } as const;

function resolve(options: object) {
  return resolveStreamOptions({ ...base, ...options } as WalStreamOptions);
}

/** A number option's bounds. */
const INTEGERS: Readonly<Record<string, readonly [min: number, max: number]>> = {
  workers: [1, 64],
  maxInFlightBytes: [1024 ** 2, 4 * 1024 ** 3],
  maxMessageBytes: [65_536, 1024 ** 3],
  transformTimeoutMs: [1, 2 ** 31 - 1],
  feedbackIntervalMs: [10, 2 ** 31 - 1],
  livenessTimeoutMs: [100, 2 ** 31 - 1],
  createSlotTimeoutMs: [1, 2 ** 31 - 1],
};

const NO_NUMBERS = ['1', true, null, {}, [], 1n, Number.NaN, Number.POSITIVE_INFINITY, 1.5];

/** Nor options: nothing of theirs is an option's name. */
const NO_OBJECTS = [null, 5, true, [], new Date(), new Map(), /x/, () => {}, Symbol('s')];

/** Wrong values by the path of the option that the error must name. */
const WRONG: Readonly<Record<string, readonly object[]>> = {
  options: [],
  slot: [undefined, ...NO_OBJECTS].map((slot) => ({ slot })),
  'slot.name': ['', 5, undefined, 'Upper', 'with space', 'x'.repeat(64), 'semi;colon', 'nul\0'].flatMap((name) => [
    ...(typeof name === 'string' ? [{ slot: name }] : []),
    { slot: { name } },
  ]),
  'slot.create': ['always', true, null, {}].map((create) => ({ slot: { name: 's', create } })),
  'slot.temporary': [
    { slot: { name: 's', temporary: 'yes', create: 'if-missing' } },
    { slot: { name: 's', temporary: true } },
    { slot: { name: 's', temporary: true, create: 'never' } },
  ],
  'slot.failover': [{ slot: { name: 's', failover: 1 } }],
  'slot.colour': [{ slot: { name: 's', colour: 'red' } }],
  publications: [undefined, null, '', [], [''], [5], ['p', null], {}, 5, 'nul\0', ['nul\0']].map((publications) => ({
    publications,
  })),
  protoVersion: [0, 5, '1', 'newest', null, true].map((protoVersion) => ({ protoVersion })),
  streaming: [true, false, 'yes', null, 1].map((streaming) => ({ streaming })),
  twoPhase: ['on', null, 1].map((twoPhase) => ({ twoPhase })),
  binary: ['true', 1, null].map((binary) => ({ binary })),
  messages: ['true', 1, null].map((messages) => ({ messages })),
  origin: ['some', '', 1, null].map((origin) => ({ origin })),
  beforeIdleAck: [true, 'f', null, {}].map((beforeIdleAck) => ({ beforeIdleAck })),
  startLsn: ['0/1', 1, null, -1n, 2n ** 64n].map((startLsn) => ({ startLsn })),
  stopLsn: ['0/1', 1, null, -1n, 2n ** 64n].map((stopLsn) => ({ stopLsn })),
  types: [
    ...NO_OBJECTS.map((types) => ({ types })),
    { types: 'js' },
    ...['text', 'pg'].map((types) => ({ types, binary: true })),
  ],
  'types.mode': [
    ...['js', null, 5, () => {}].map((mode) => ({ types: { mode } })),
    { types: { mode: 'pg' }, binary: true },
  ],
  'types.modes': [{ types: { modes: 'pg' } }],
  'types.overrides': [null, [], 5, 'int8'].map((overrides) => ({ types: { overrides } })),
  'types.overrides.int8': [
    ...['js', null, 5, undefined].map((override) => ({ types: { overrides: { int8: override } } })),
    { types: { overrides: { int8: () => 1 } }, transform: { module: '/m.js' } },
  ],
  'types.overrides.int8.module': [{}, { module: '' }, { module: 5 }].map((int8) => ({
    types: { overrides: { int8 } },
  })),
  'types.overrides.int8.export': [5, null, ''].map((name) => ({
    types: { overrides: { int8: { module: '/m.js', export: name } } },
  })),
  'types.overrides.int8.exports': [{ types: { overrides: { int8: { module: '/m.js', exports: 'a' } } } }],
  'types.overrides.bigint': [{ types: { overrides: { bigint: 'text' } } }],
  'types.overrides.int4[]': [{ types: { overrides: { 'int4[]': 'text' } } }],
  'types.overrides.0': [{ types: { overrides: { 0: 'text' } } }],
  'types.overrides.4294967296': [{ types: { overrides: { 4294967296: 'text' } } }],
  'types.overrides.': [{ types: { overrides: { '': 'text' } } }],
  retry: [...NO_OBJECTS, 'x'].map((retry) => ({ retry })),
  spill: [...NO_OBJECTS, 'x'].map((spill) => ({ spill })),
  validate: [...NO_OBJECTS, 'module.js'].map((validate) => ({ validate })),
  transform: [...NO_OBJECTS, 'module.js'].map((transform) => ({ transform })),
  'transform.module': [
    ...[undefined, '', 5, null, 'm.js', './m.js', '../m.js', 'https://host/m.js', 'http://host/m.js'],
    new URL('https://host/m.js'),
  ].map((module) => ({ transform: { module } })),
  'transform.export': [5, null, {}, ''].map((name) => ({ transform: { module: '/m.js', export: name } })),
  'transform.per': ['row', null, 1].map((per) => ({ transform: { module: '/m.js', per } })),
  'transform.options': [() => {}, { inside: () => {} }, Symbol('s')].map((options) => ({
    transform: { module: '/m.js', options },
  })),
  'transform.modul': [{ transform: { module: '/m.js', modul: 1 } }],
  ack: ['automatic', true, null].map((ack) => ({ ack })),
  signal: [null, {}, 'now', new AbortController()].map((signal) => ({ signal })),
  slots: [{ slots: 's' }],
  connection: [...NO_OBJECTS, 'nonsense'].map((connection) => ({ connection })),
  'connection.prot': [{ connection: { prot: 1 } }],
  'connection.port': [{ connection: { port: 'x' } }, { connection: { port: 70_000 } }],
  'connection.sslmode': [{ connection: 'postgresql://h/d?sslmode=maybe' }],
  ...Object.fromEntries(
    Object.entries(INTEGERS).map(([name, [min, max]]) => [
      name,
      [...NO_NUMBERS, min - 1, max + 1, -1].map((value) => ({ [name]: value })),
    ]),
  ),
};

function assertNames(option: string, run: () => unknown, what: string): void {
  assert.throws(
    run,
    (error: unknown) => {
      assert.ok(error instanceof ConfigurationError, `${what}: ${error}`);
      assert.equal(error.option, option, `${what}: ${error.message}`);
      assert.ok(error.message.includes(option.split('.').at(-1) ?? ''), error.message);
      assert.equal(error.retryable, false);
      return true;
    },
    what,
  );
}

suite('options of WalStream', () => {
  test('defaults', () => {
    const { connection, workers, ...rest } = resolve({});
    assert.equal(connection.user, 'u');
    assert.ok(workers >= 1 && workers <= 4);
    assert.deepEqual(rest, {
      slot: { name: 's', create: 'never', temporary: false, failover: false },
      pgoutput: rest.pgoutput,
      startLsn: 0n,
      stopLsn: undefined,
      maxInFlightBytes: 16 * 1024 * 1024,
      maxMessageBytes: 256 * 1024 * 1024,
      types: { source: { mode: 'lossless', overrides: [] }, functions: [] },
      transform: undefined,
      validate: undefined,
      logger: undefined,
      transformTimeoutMs: 30_000,
      ack: 'auto',
      beforeIdleAck: undefined,
      feedbackIntervalMs: 1_000,
      livenessTimeoutMs: 60_000,
      createSlotTimeoutMs: rest.createSlotTimeoutMs,
      retry: { maxAttempts: Number.POSITIVE_INFINITY, minDelayMs: 100, maxDelayMs: 30_000, redeliver: false },
      retriesStart: false,
      spill: rest.spill,
      signal: undefined,
    });
    assert.deepEqual(rest.pgoutput.publications, ['p']);
    assert.equal(rest.pgoutput.protoVersion, 'newest');
    assert.equal(rest.pgoutput.streaming, 'off');
    assert.equal(rest.pgoutput.twoPhase, false);
    assert.equal(rest.pgoutput.binary, false);
  });

  test('types: modes, functions and modules', () => {
    const parse = (text: string) => text;
    const overrides = { 20: 'text', 'public.mood': parse, x: { module: '/m.js' }, y: { module: '/n.js', export: 'z' } };
    assert.deepEqual(resolve({ types: { mode: 'pg', overrides } }).types, {
      source: {
        mode: 'pg',
        overrides: [
          ['20', 'text'],
          ['public.mood', { kind: 'function', index: 0 }],
          ['x', { kind: 'module', moduleUrl: 'file:///m.js', exportName: 'default' }],
          ['y', { kind: 'module', moduleUrl: 'file:///n.js', exportName: 'z' }],
        ],
      },
      functions: [parse],
    });
  });

  for (const [option, cases] of Object.entries(WRONG)) {
    if (cases.length === 0) continue;
    test(`wrong: ${option}`, () => {
      for (const [at, options] of cases.entries()) {
        assertNames(option, () => resolve(options), `${option}, case ${at}`);
      }
    });
  }

  test('not an object at all', () => {
    for (const junk of [undefined, 'x', ...NO_OBJECTS]) {
      assertNames('options', () => resolveStreamOptions(junk as never), String(junk));
      assertNames('options', () => new WalStream(junk as never), String(junk));
    }
  });

  test('the bounds themselves are allowed', () => {
    for (const [name, bounds] of Object.entries(INTEGERS)) {
      for (const value of bounds) assert.equal(resolve({ [name]: value })[name as 'workers'], value);
    }
    assert.equal(resolve({ startLsn: 2n ** 64n - 1n }).startLsn, 2n ** 64n - 1n);
    assert.equal(resolve({ stopLsn: 0n }).stopLsn, 0n);
  });

  test('options of another realm, or without a prototype, are options', () => {
    const retry = runInNewContext('({ maxAttempts: 3 })') as object;
    assert.equal(resolve({ retry }).retry.maxAttempts, 3);
    assert.equal(resolve({ retry: Object.assign(Object.create(null), { maxAttempts: 4 }) }).retry.maxAttempts, 4);
  });

  test('several publications, by any name that PostgreSQL takes', () => {
    const publications = ['a', 'With "quotes", commas and spaces', 'größe'];
    assert.deepEqual(resolve({ publications }).pgoutput.publications, publications);
  });

  test('a transform: URL, file URL as text, path', () => {
    const href = 'file:///folder/m.js';
    const moduleOf = (module: string | URL) => resolve({ transform: { module } }).transform?.moduleUrl;
    assert.equal(moduleOf(new URL(href)), href);
    assert.equal(moduleOf(href), href);
    assert.equal(moduleOf('/folder/m #1.js'), pathToFileURL('/folder/m #1.js').href);
    const { transform } = resolve({ transform: { module: href, export: 'map', per: 'batch', options: { a: [1n] } } });
    assert.deepEqual(transform, { moduleUrl: href, exportName: 'map', per: 'batch', options: { a: [1n] } });
  });

  test("a transform's options are taken when they are given", () => {
    const options = { list: [1] };
    const { transform } = resolve({ transform: { module: '/m.js', options } });
    options.list.push(2);
    assert.deepEqual(transform?.options, { list: [1] });
  });

  test('no error shows a password', () => {
    for (const connection of [
      'postgresql://u:secret@h:99999/d',
      'postgresql://u:secret@h/d?sslmode=secret',
      { password: 'secret', port: 99_999 },
      { password: ['secret'] },
    ]) {
      try {
        resolve({ connection });
        assert.fail('it is wrong');
      } catch (error) {
        assert.ok(error instanceof ConfigurationError);
        assert.ok(!error.message.includes('secret'), error.message);
      }
    }
  });

  const names = [
    ...Object.keys(resolve({})).filter((name) => name !== 'pgoutput'),
    ...['publications', 'protoVersion', 'streaming', 'twoPhase', 'binary', 'messages', 'origin'],
  ];
  /** Values of any kind, and those that are nearly right. */
  const junk = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom<unknown>(Symbol('junk'), () => {}, new URL('https://host/'), /x/, new Map(), AbortSignal.abort()),
    fc.dictionary(
      fc.constantFrom(
        ...['name', 'create', 'temporary', 'failover', 'module', 'export', 'per', 'options', 'host', 'port'],
      ),
      fc.anything(),
    ),
  );

  test('whatever is given, the answer is options or a ConfigurationError', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), junk, (name, value) => {
        try {
          resolve({ [name]: value });
          return true;
        } catch (error) {
          if (!(error instanceof ConfigurationError)) throw error;
          // Of a connection string, the part at fault may be an environment's variable.
          return error.option === name || error.option.startsWith(`${name}.`);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  test('whatever is given as a whole, too', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), junk), (options) => {
        try {
          resolveStreamOptions(options as never);
          return true;
        } catch (error) {
          return error instanceof ConfigurationError;
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

suite('options of stop() and nextEvent()', () => {
  test('defaults', () => {
    assert.deepEqual(resolveStopOptions({}), { drain: 'transaction', timeoutMs: 5_000 });
    assert.deepEqual(resolveNextEventOptions({}), {});
    assert.deepEqual(resolveNextEventOptions({ timeoutMs: 0.5 }), { timeoutMs: 0.5 });
  });

  test('wrong', () => {
    for (const timeoutMs of ['1', true, null, {}, [], 1n, Number.NaN, -1, 2 ** 31, Number.POSITIVE_INFINITY]) {
      assertNames('timeoutMs', () => resolveStopOptions({ timeoutMs: timeoutMs as never }), String(timeoutMs));
      assertNames('timeoutMs', () => resolveNextEventOptions({ timeoutMs: timeoutMs as never }), String(timeoutMs));
    }
    assertNames('drain', () => resolveStopOptions({ drain: 'all' as never }), 'all');
    assertNames('signal', () => resolveNextEventOptions({ signal: {} as never }), '{}');
    assertNames('colour', () => resolveStopOptions({ colour: 1 } as never), 'colour');
    assertNames('colour', () => resolveNextEventOptions({ colour: 1 } as never), 'colour');
    for (const wrong of ['x', ...NO_OBJECTS]) {
      assertNames('options', () => resolveStopOptions(wrong as never), String(wrong));
      assertNames('options', () => resolveNextEventOptions(wrong as never), String(wrong));
    }
  });
});
