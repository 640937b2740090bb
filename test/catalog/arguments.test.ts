import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  advanceSlot,
  createPublication,
  createSlot,
  dropPublication,
  dropSlot,
  findPublication,
  findSlot,
  preflight,
  type SqlSession,
} from '../../src/catalog/index.js';
import { ConfigurationError } from '../../src/errors.js';

/** Nothing that is wrong reaches the server. */
const session: SqlSession = {
  serverVersion: 140_000,
  host: 'h',
  processId: 1,
  query: (sql) => Promise.reject(new Error(`asked: ${sql}`)),
};

const call = (name: (...given: never[]) => Promise<unknown>, ...given: readonly unknown[]) =>
  name(...([session, ...given] as never[]));

const slot = { kind: 'logical', name: 's' } as const;
const tables = [{ table: 't' }];

/** By the option that the error must name. */
const WRONG: readonly (readonly [option: string, run: () => Promise<unknown>])[] = [
  ['slot', () => call(createSlot)],
  ['slot', () => call(createSlot, 's')],
  ['slot.kind', () => call(createSlot, {})],
  ['slot.kind', () => call(createSlot, { kind: 'magical', name: 's' })],
  ['slot.name', () => call(createSlot, { kind: 'logical' })],
  ['slot.name', () => call(createSlot, { kind: 'physical', name: 5 })],
  ['slot.colour', () => call(createSlot, { ...slot, colour: 'red' })],
  ['slot.twoPhase', () => call(createSlot, { kind: 'physical', name: 's', twoPhase: true })],
  ['slot.temporary', () => call(createSlot, { ...slot, temporary: 'yes' })],
  ['slot.plugin', () => call(createSlot, { ...slot, plugin: 5 })],
  ['slot.snapshot', () => call(createSlot, { ...slot, snapshot: 'keep' })],
  ['slot.reserveWal', () => call(createSlot, { kind: 'physical', name: 's', reserveWal: 1 })],
  ['options', () => call(createSlot, slot, null)],
  ['timeoutMs', () => call(createSlot, slot, { timeoutMs: Number.NaN })],
  ['timeoutMs', () => call(createSlot, slot, { timeoutMs: 2 ** 31 })],
  ['slot.name', () => call(findSlot)],
  ['slot.name', () => call(dropSlot)],
  ['options', () => call(dropSlot, 's', null)],
  ['waitMs', () => call(dropSlot, 's', { waitMs: -1 })],
  ['slot.name', () => call(advanceSlot)],
  ['lsn', () => call(advanceSlot, 's', '0/1')],
  ['lsn', () => call(advanceSlot, 's', 1)],
  ['lsn', () => call(advanceSlot, 's', 0n)],
  ['lsn', () => call(advanceSlot, 's', 2n ** 64n)],
  ['publication', () => call(createPublication)],
  ['name', () => call(createPublication, {})],
  ['colour', () => call(createPublication, { name: 'p', colour: 'red' })],
  ['tables', () => call(createPublication, { name: 'p', tables: 5 })],
  ['tables', () => call(createPublication, { name: 'p', tables: 'some' })],
  ['tables', () => call(createPublication, { name: 'p', tables: ['t'] })],
  ['tables.table', () => call(createPublication, { name: 'p', tables: [{}] })],
  ['tables.column', () => call(createPublication, { name: 'p', tables: [{ table: 't', column: 'c' }] })],
  ['tables.columns', () => call(createPublication, { name: 'p', tables: [{ table: 't', columns: [5] }] })],
  ['tables.where', () => call(createPublication, { name: 'p', tables: [{ table: 't', where: true }] })],
  ['schemas', () => call(createPublication, { name: 'p', tables, schemas: 's' })],
  ['publish', () => call(createPublication, { name: 'p', tables, publish: ['select'] })],
  ['publish', () => call(createPublication, { name: 'p', tables, publish: 'insert' })],
  ['viaRoot', () => call(createPublication, { name: 'p', tables, viaRoot: 'yes' })],
  ['generatedColumns', () => call(createPublication, { name: 'p', tables, generatedColumns: 'all' })],
  ['name', () => call(dropPublication, 5)],
  ['name', () => call(findPublication)],
  ['request', () => call(preflight)],
  ['slots', () => call(preflight, { slots: 's' })],
  ['slot', () => call(preflight, { slot: 's' })],
  ['slot.name', () => call(preflight, { slot: {} })],
  ['pgoutput', () => call(preflight, { pgoutput: [] })],
  ['pgoutput.publications', () => call(preflight, { pgoutput: { publications: 'p' } })],
  ['startLsn', () => call(preflight, { startLsn: '0/1' })],
];

suite('what is wrong with an argument is said before the server is asked', () => {
  for (const [at, [option, run]] of WRONG.entries()) {
    test(`${option}, case ${at}`, async () => {
      await assert.rejects(run(), (error: unknown) => {
        assert.ok(error instanceof ConfigurationError, String(error));
        assert.equal(error.option, option, error.message);
        return true;
      });
    });
  }
});

test('the longest bound on the creation of a slot is none at all, not one of a moment', async () => {
  const bounds: (number | undefined)[] = [];
  const asked = {
    ...session,
    query: (_sql: string, options?: { timeoutMs?: number }) => {
      bounds.push(options?.timeoutMs);
      return Promise.resolve([
        { columns: ['slot_name', 'consistent_point', 'snapshot_name'], rows: [['s', '0/1', null]], command: '' },
      ]);
    },
  };
  await createSlot(asked, slot, { timeoutMs: 2 ** 31 - 1 });
  for (const bound of bounds) assert.ok(bound === undefined || bound <= 2 ** 31 - 1, String(bound));
  assert.ok(bounds.includes(2 ** 31 - 1));
});
