import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  advanceSlot,
  createSlot,
  dropSlot,
  ensureSlot,
  findSlot,
  isInvalidated,
  listSlots,
  type SqlSession,
  slotErrorFrom,
  type WantedSlot,
} from '../../src/catalog/index.js';
import { ConfigurationError, ServerError, SlotError, type SlotErrorReason, TimeoutError } from '../../src/errors.js';
import { resolvePgoutputOptions, startLogicalReplication } from '../../src/protocol/commands.js';
import { connect, needsMajor, PG_MAJOR, sharedServer, sql } from '../support/server.js';
import { openSession } from './session.js';

function slotError(reason: SlotErrorReason, words = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SlotError, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, words);
    return true;
  };
}

function configurationError(option: string): (error: unknown) => boolean {
  return (error) => error instanceof ConfigurationError && error.option === option;
}

/** What START_REPLICATION answers, as the stream will see it. */
async function startError(session: SqlSession, slot: string): Promise<unknown> {
  const pgoutput = resolvePgoutputOptions({ publications: ['none'] });
  try {
    await session.query(startLogicalReplication({ slot, startLsn: 0n, pgoutput }, session.serverVersion));
    return undefined;
  } catch (error) {
    return slotErrorFrom(error, slot);
  }
}

describe('slots', () => {
  // A limit far away: safe_wal_size is null without one.
  const server = sharedServer({ settings: { max_slot_wal_keep_size: '10GB' } });

  test('a logical slot, in every column', async (t) => {
    const session = await openSession(t, server().connectionString());
    const created = await createSlot(session, { kind: 'logical', name: 'listed', twoPhase: PG_MAJOR >= 15 });
    assert.equal(created.name, 'listed');
    assert.equal(created.snapshotName, undefined);

    const slot = await findSlot(session, 'listed');
    assert.ok(slot !== undefined);
    const { restartLsn, confirmedFlushLsn, safeWalSize, inactiveSince, retainedBytes, ...rest } = slot;
    assert.deepEqual(rest, {
      name: 'listed',
      plugin: 'pgoutput',
      slotType: 'logical',
      database: 'postgres',
      temporary: false,
      active: false,
      activePid: undefined,
      walStatus: 'reserved',
      twoPhase: PG_MAJOR >= 15,
      conflicting: false,
      invalidationReason: undefined,
      failover: false,
      synced: false,
    });
    assert.equal(confirmedFlushLsn, created.consistentPoint);
    assert.ok(restartLsn !== undefined && restartLsn <= created.consistentPoint);
    assert.ok(safeWalSize !== undefined && safeWalSize > 0n);
    assert.ok(retainedBytes !== undefined && retainedBytes >= 0n);
    if (PG_MAJOR >= 17) assert.ok(Math.abs(Date.now() - (inactiveSince?.getTime() ?? 0)) < 60_000);
    else assert.equal(inactiveSince, undefined);

    await sql(server(), `SELECT pg_logical_emit_message(true, 'catalog', repeat('x', 100000))`);
    const later = await findSlot(session, 'listed');
    assert.ok((later?.retainedBytes ?? 0n) >= retainedBytes + 100_000n);
    await dropSlot(session, 'listed');
    assert.equal(await findSlot(session, 'listed'), undefined);
  });

  test('physical slots, with and without WAL reserved', async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'physical', name: 'later' });
    await createSlot(session, { kind: 'physical', name: 'now', reserveWal: true });
    const slots = (await listSlots(session)).filter((slot) => slot.slotType === 'physical');
    assert.deepEqual(
      slots.map((slot) => [slot.name, slot.plugin, slot.database, slot.restartLsn !== undefined]),
      [
        ['later', undefined, undefined, false],
        ['now', undefined, undefined, true],
      ],
    );
    assert.equal(slots[0]?.retainedBytes, undefined);
    assert.ok(slots[1]?.retainedBytes !== undefined);
    assert.match(String(await startError(session, 'now')), /cannot be used here.*physical/);
    for (const slot of slots) await dropSlot(session, slot.name);
  });

  test('failover', { skip: needsMajor(17, 'failover slots') }, async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'logical', name: 'failing_over', failover: true });
    assert.equal((await findSlot(session, 'failing_over'))?.failover, true);
    await dropSlot(session, 'failing_over');
  });

  test('an exported snapshot outlives its creation', async (t) => {
    const session = await openSession(t, server().connectionString());
    const { snapshotName } = await createSlot(session, {
      kind: 'logical',
      name: 'exporting',
      temporary: true,
      snapshot: 'export',
    });
    const reader = await openSession(t, server().connectionString(), { mode: 'sql' });
    await reader.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '${snapshotName}'; COMMIT`);
  });

  test('a slot that exists is not created again', async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'logical', name: 'twice' });
    await assert.rejects(createSlot(session, { kind: 'logical', name: 'twice' }), configurationError('slot.name'));
    const [result] = await session.query('SHOW lock_timeout');
    assert.equal(result?.rows[0]?.[0], '0');
    await dropSlot(session, 'twice');
  });

  test('ensureSlot creates only what is missing and only when told to', async (t) => {
    const session = await openSession(t, server().connectionString());
    const wanted: WantedSlot = {
      name: 'ensured',
      create: 'if-missing',
      temporary: true,
      failover: false,
      twoPhase: false,
    };
    await assert.rejects(ensureSlot(session, { ...wanted, create: 'never' }), slotError('missing'));
    const first = await ensureSlot(session, wanted);
    assert.deepEqual([first.created, first.slot.temporary], [true, true]);
    assert.equal(first.slot.activePid, session.processId);
    assert.equal((await ensureSlot(session, { ...wanted, create: 'never' })).created, false);
  });

  test('a slot held by another session is in use, with its PID, until that lets go', async (t) => {
    const holder = await openSession(t, server().connectionString());
    const session = await openSession(t, server().connectionString());
    await createSlot(holder, { kind: 'logical', name: 'held', temporary: true });
    const words = new RegExp(`slot held is in use by .* ${holder.processId}$`);

    assert.equal((await findSlot(session, 'held'))?.activePid, holder.processId);
    assert.ok(slotError('in-use', words)(await startError(session, 'held')));
    await assert.rejects(dropSlot(session, 'held'), slotError('in-use', words));
    const started = performance.now();
    await assert.rejects(dropSlot(session, 'held', { waitMs: 150 }), slotError('in-use', words));
    assert.ok(performance.now() - started >= 150);

    const controller = new AbortController();
    const aborted = assert.rejects(dropSlot(session, 'held', { waitMs: 60_000, signal: controller.signal }), {
      name: 'AbortError',
    });
    await delay(100);
    controller.abort();
    await aborted;

    const waiting = assert.rejects(dropSlot(session, 'held', { waitMs: 30_000 }), slotError('missing'));
    await delay(100);
    await holder.close();
    await waiting;
  });

  test('its own temporary slot can be dropped', async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'logical', name: 'own', temporary: true });
    await dropSlot(session, 'own');
    assert.equal(await findSlot(session, 'own'), undefined);
  });

  test('an error in a session drops its temporary slots', async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'logical', name: 'fragile', temporary: true });
    await assert.rejects(session.query('SELECT 1/0'), ServerError);
    assert.equal(await findSlot(session, 'fragile'), undefined);
  });

  test('a slot advances and never goes back', async (t) => {
    const session = await openSession(t, server().connectionString());
    const { consistentPoint } = await createSlot(session, { kind: 'logical', name: 'advancing' });
    await sql(server(), `SELECT pg_logical_emit_message(false, 'catalog', 'x'); SELECT pg_switch_wal()`);
    const end = await advanceSlot(session, 'advancing', 0xffff_ffff_0000_0000n);
    assert.ok(end > consistentPoint);
    assert.equal((await findSlot(session, 'advancing'))?.confirmedFlushLsn, end);
    await assert.rejects(advanceSlot(session, 'advancing', consistentPoint), slotError('gap'));
    await assert.rejects(advanceSlot(session, 'advancing', 0n), configurationError('lsn'));
    await assert.rejects(advanceSlot(session, 'nowhere', end), slotError('missing'));
    await dropSlot(session, 'advancing');
  });

  test('a slot that is missing, or of another database', async (t) => {
    const session = await openSession(t, server().connectionString());
    assert.ok(slotError('missing', /slot nowhere does not exist/)(await startError(session, 'nowhere')));
    await assert.rejects(dropSlot(session, 'nowhere'), slotError('missing'));
    assert.equal(await findSlot(session, `'"\\; --`), undefined);

    await sql(server(), 'CREATE DATABASE elsewhere');
    await createSlot(session, { kind: 'logical', name: 'here' });
    const elsewhere = await openSession(t, server().connectionString('elsewhere'));
    assert.ok(configurationError('slot.name')(await startError(elsewhere, 'here')));
    // The server reports an error first and lets go of the slot then.
    await dropSlot(session, 'here', { waitMs: 10_000 });
  });

  test('creation is bounded, and the error names the transactions in the way', async (t) => {
    const session = await openSession(t, server().connectionString());
    const blocker = await connect(server());
    t.after(() => blocker.end());
    await blocker.query(`SET application_name = 'the blocker'`);
    await blocker.query(`BEGIN; SELECT pg_current_xact_id(), 'a secret'`);
    const { rows } = await blocker.query('SELECT pg_backend_pid() AS pid');

    const started = performance.now();
    await assert.rejects(
      createSlot(session, { kind: 'logical', name: 'waiting' }, { timeoutMs: 300 }),
      (error: unknown) => {
        assert.ok(error instanceof TimeoutError, String(error));
        assert.equal(error.retryable, true);
        assert.match(error.message, new RegExp(`PID ${rows[0].pid} \\(the blocker, idle in transaction, \\d s\\)`));
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
    assert.ok(performance.now() - started < 30_000);

    await blocker.query(`PREPARE TRANSACTION 'left ''behind'''`);
    await assert.rejects(
      createSlot(session, { kind: 'logical', name: 'waiting' }, { timeoutMs: 300 }),
      /prepared transaction "left 'behind'" \(\d s\)/,
    );
    assert.equal(await findSlot(session, 'waiting'), undefined);
    await blocker.query(`ROLLBACK PREPARED 'left ''behind'''`);

    await createSlot(session, { kind: 'logical', name: 'waiting' }, { timeoutMs: 30_000 });
    const [result] = await session.query('SHOW lock_timeout');
    assert.equal(result?.rows[0]?.[0], '0');
    await dropSlot(session, 'waiting');
  });
});

describe('a slot left behind', () => {
  const server = sharedServer({
    settings: { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' },
  });

  test('is invalidated once its WAL was removed', async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'logical', name: 'lost' });
    for (let segment = 0; segment < 4; segment++) {
      await sql(server(), `SELECT pg_logical_emit_message(false, 'catalog', 'x'); SELECT pg_switch_wal()`);
    }
    await sql(server(), 'CHECKPOINT');
    const slot = await findSlot(session, 'lost');
    assert.ok(slot !== undefined && isInvalidated(slot), JSON.stringify(slot?.walStatus));
    assert.equal(slot.walStatus, 'lost');
    assert.equal(slot.invalidationReason, 'wal_removed');
    assert.ok(slotError('invalidated', /slot lost was invalidated/)(await startError(session, 'lost')));
    await assert.rejects(advanceSlot(session, 'lost', 0xffff_ffffn), slotError('invalidated'));
    await dropSlot(session, 'lost');
  });
});

describe('no slot left', () => {
  const server = sharedServer({ settings: { max_replication_slots: '1' } });

  test('is a matter of configuration', async (t) => {
    const session = await openSession(t, server().connectionString());
    await createSlot(session, { kind: 'physical', name: 'only' });
    await assert.rejects(createSlot(session, { kind: 'logical', name: 'another' }), configurationError('slot.create'));
  });
});
