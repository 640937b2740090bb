import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Finding,
  firstError,
  judge,
  type PreflightFacts,
  type PreflightRequest,
  type SlotInfo,
  type WantedSlot,
} from '../../src/catalog/index.js';
import type { ServerFacts } from '../../src/catalog/preflight-facts.js';
import { AuthenticationError, ConfigurationError, SlotError } from '../../src/errors.js';
import { resolvePgoutputOptions } from '../../src/protocol/commands.js';
import { HEALTHY_SLOT } from '../support/healthy-slot.js';

const SERVER: ServerFacts = {
  serverVersion: 180_004,
  database: 'shop',
  role: 'streamer',
  mayReplicate: true,
  managedService: undefined,
  backendPid: 100,
  announcedBackendPid: 100,
  isWalSender: true,
  inRecovery: false,
  hotStandbyFeedback: false,
  walLevel: 'logical',
  walSenderTimeoutMs: 60_000,
  maxWalSenders: 10,
  walSendersInUse: 1,
  maxReplicationSlots: 10,
  replicationSlotsInUse: 1,
};

const WANTED: WantedSlot = { name: 's', create: 'never', temporary: false, failover: false, twoPhase: false };

const REQUEST: PreflightRequest = {
  slot: WANTED,
  pgoutput: resolvePgoutputOptions({ publications: ['p'] }),
  feedbackIntervalMs: 10_000,
};

interface Given {
  readonly server?: Partial<ServerFacts>;
  readonly slot?: Partial<SlotInfo> | 'none';
  readonly facts?: Partial<PreflightFacts>;
  readonly wanted?: Partial<WantedSlot>;
  readonly request?: Partial<PreflightRequest>;
}

function judged(given: Given): Finding[] {
  const facts: PreflightFacts = {
    server: { ...SERVER, ...given.server },
    slot: given.slot === 'none' ? undefined : { ...HEALTHY_SLOT, ...given.slot },
    publications: [{ name: 'p', tableCount: 1 }],
    unidentifiedTables: [],
    unidentifiedTableCount: 0,
    ...given.facts,
  };
  return judge(facts, { ...REQUEST, slot: { ...WANTED, ...given.wanted }, ...given.request });
}

/** The only finding of what was given, with what its error says. */
function only(given: Given): { readonly one: Finding; readonly error: Error } {
  const [one, ...more] = judged(given);
  assert.ok(one !== undefined, 'nothing was found');
  assert.deepEqual(
    more.map(({ check }) => check),
    [],
  );
  const error = one.error();
  assert.ok(error.message.startsWith(one.message));
  if (one.remedy !== undefined) assert.ok(error.message.includes(one.remedy), 'the error shows the remedy');
  return { one, error };
}

test('nothing to find', () => {
  assert.deepEqual(judged({}), []);
  assert.deepEqual(judged({ slot: 'none', wanted: { create: 'if-missing' } }), []);
  assert.deepEqual(judged({ slot: { activePid: 100, active: true, temporary: true } }), []);
  assert.deepEqual(judged({ server: { walSenderTimeoutMs: 0 } }), []);
  assert.deepEqual(judged({ request: { startLsn: 0x200n } }), []);
  assert.equal(firstError([]), undefined);
});

describe('the server', () => {
  test('wal_level, with what a managed service has instead', () => {
    const { one, error } = only({ server: { walLevel: 'replica' } });
    assert.deepEqual([one.check, one.severity], ['wal-level', 'error']);
    assert.match(one.message, /wal_level is replica.*restart/);
    assert.equal(one.remedy, `ALTER SYSTEM SET wal_level = 'logical'`);
    assert.ok(error instanceof ConfigurationError);
    for (const [managedService, words] of [
      ['rds', /rds\.logical_replication/],
      ['cloudsql', /cloudsql\.logical_decoding/],
      ['azure', /server parameter wal_level/],
    ] as const) {
      const managed = only({ server: { walLevel: 'replica', managedService } });
      assert.match(managed.one.message, words);
      assert.equal(managed.one.remedy, undefined);
    }
  });

  test('privilege', () => {
    const { one, error } = only({ server: { mayReplicate: false, role: 'a "b"' } });
    assert.equal(one.remedy, 'ALTER ROLE "a ""b""" REPLICATION');
    assert.ok(error instanceof AuthenticationError);
    assert.equal(error.method, 'privilege');
    const { one: onRds } = only({ server: { mayReplicate: false, managedService: 'rds' } });
    assert.equal(onRds.remedy, 'GRANT rds_replication TO "streamer"');
  });

  test('a pooler in between', () => {
    assert.match(only({ server: { announcedBackendPid: 7 } }).one.message, /PID 100.*announced \(7\)/);
    assert.match(only({ server: { isWalSender: false } }).one.message, /no replication connection/);
  });

  test('a standby', () => {
    const { one } = only({ server: { inRecovery: true, serverVersion: 150_018 } });
    assert.deepEqual([one.check, one.severity], ['standby', 'error']);
    assert.match(one.message, /PostgreSQL 16 or later; it is 15\.18/);
    const { one: warning } = only({ server: { inRecovery: true } });
    assert.deepEqual([warning.check, warning.severity], ['standby', 'warning']);
    const standby = { inRecovery: true, hotStandbyFeedback: true };
    assert.deepEqual(judged({ server: standby }), []);
    const creation = only({ server: standby, slot: 'none', wanted: { create: 'if-missing' } });
    assert.equal(creation.one.remedy, 'SELECT pg_log_standby_snapshot()');
    assert.equal(only({ server: standby, slot: { synced: true } }).one.check, 'slot-synced');
  });

  test('WAL senders and slots used up', () => {
    assert.equal(only({ server: { walSendersInUse: 10 } }).one.severity, 'warning');
    const findings = judged({ server: { walSendersInUse: 10, isWalSender: false } });
    assert.deepEqual(
      findings.map(({ check, severity }) => [check, severity]),
      [
        ['pooler', 'error'],
        ['wal-senders', 'error'],
      ],
    );
    const full = { replicationSlotsInUse: 10 };
    assert.deepEqual(judged({ server: full }), []);
    const { one } = only({ server: full, slot: 'none', wanted: { create: 'if-missing' } });
    assert.deepEqual([one.check, one.remedy], ['replication-slots', 'ALTER SYSTEM SET max_replication_slots = 20']);
  });

  test('wal_sender_timeout', () => {
    assert.deepEqual(judged({ request: { feedbackIntervalMs: 30_000 } }), []);
    const { one, error } = only({ request: { feedbackIntervalMs: 30_001 } });
    assert.deepEqual([one.check, one.severity], ['wal-sender-timeout', 'warning']);
    assert.ok(error instanceof ConfigurationError && error.option === 'feedbackIntervalMs');
  });

  test('an option that it does not have', () => {
    const pgoutput = resolvePgoutputOptions({ publications: ['p'], streaming: 'parallel' });
    const { one, error } = only({ server: { serverVersion: 150_018 }, request: { pgoutput } });
    assert.equal(one.check, 'options');
    assert.ok(error instanceof ConfigurationError && error.option === 'streaming');
  });
});

describe('publications', () => {
  test('missing: the statement that creates it is in the error', () => {
    const pgoutput = resolvePgoutputOptions({ publications: ['p', 'the "q"'] });
    const { one, error } = only({ request: { pgoutput } });
    assert.equal(one.check, 'publication-missing');
    assert.equal(one.remedy, 'CREATE PUBLICATION "the ""q""" FOR ALL TABLES');
    assert.ok(error instanceof ConfigurationError && error.option === 'publications');
  });

  test('several missing: one error names them all', () => {
    const pgoutput = resolvePgoutputOptions({ publications: ['p', 'q', 'r', 'q'] });
    const { one, error } = only({ request: { pgoutput } });
    assert.match(error.message, /^publications "q", "r" do not exist in database "shop"; .* What mends it: CREATE/);
    assert.equal(one.remedy, 'CREATE PUBLICATION "q" FOR ALL TABLES; CREATE PUBLICATION "r" FOR ALL TABLES');
  });

  test('empty', () => {
    const { one } = only({ facts: { publications: [{ name: 'p', tableCount: 0 }] } });
    assert.deepEqual([one.check, one.severity], ['publication-empty', 'warning']);
  });

  test('tables without replica identity are named up to a bound', () => {
    const findings = judged({
      facts: {
        unidentifiedTables: [
          { schema: 'a', table: 'B "c"', replicaIdentity: 'default' },
          { schema: 'a', table: 'd', replicaIdentity: 'nothing' },
          { schema: 'a', table: 'e', replicaIdentity: 'index' },
        ],
        unidentifiedTableCount: 45,
      },
    });
    assert.deepEqual(
      findings.map(({ remedy }) => remedy),
      [
        'ALTER TABLE "a"."B ""c""" REPLICA IDENTITY FULL',
        'ALTER TABLE "a"."d" REPLICA IDENTITY FULL',
        'ALTER TABLE "a"."e" REPLICA IDENTITY FULL',
        undefined,
      ],
    );
    assert.match(findings[0]?.message ?? '', /no primary key.*refuses its UPDATE and DELETE/);
    assert.match(findings[3]?.message ?? '', /^42 more/);
    assert.equal(firstError(findings), undefined);
  });
});

describe('the slot', () => {
  const slotReason = (error: Error) => (error instanceof SlotError ? error.reason : undefined);

  test('missing', () => {
    const { one, error } = only({ slot: 'none', wanted: { failover: true } });
    assert.equal(one.remedy, `SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, false, true)`);
    assert.equal(slotReason(error), 'missing');
    assert.match(error.message, /^slot s does not exist.*slot: \{ name: 's', create: 'if-missing' \}/);
    const { one: on14 } = only({ slot: 'none', server: { serverVersion: 140_023 } });
    assert.equal(on14.remedy, `SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, false)`);
    assert.equal(only({ slot: 'none', wanted: { temporary: true } }).one.remedy, undefined);
  });

  test('of another kind, which hides everything else', () => {
    const lost = { invalidationReason: 'wal_removed', activePid: 5 };
    assert.equal(only({ slot: { ...lost, slotType: 'physical' } }).one.check, 'slot-type');
    assert.equal(only({ slot: { ...lost, database: 'other' } }).one.check, 'slot-database');
    assert.equal(only({ slot: { ...lost, plugin: 'wal2json' } }).one.check, 'slot-plugin');
  });

  test('in use, with the PID', () => {
    const { one, error } = only({ slot: { active: true, activePid: 4711 } });
    assert.match(one.message, /PID\) 4711$/);
    assert.equal(slotReason(error), 'in-use');
  });

  test('invalidated', () => {
    const { one, error } = only({ slot: { invalidationReason: 'idle_timeout' } });
    assert.match(one.message, /\(idle_timeout\)/);
    assert.equal(one.remedy, `SELECT pg_drop_replication_slot('s')`);
    assert.equal(slotReason(error), 'invalidated');
  });

  test('two_phase on one side only', () => {
    assert.equal(only({ slot: { twoPhase: true } }).one.severity, 'error');
    const pgoutput = resolvePgoutputOptions({ publications: ['p'], twoPhase: true });
    assert.equal(only({ request: { pgoutput } }).one.severity, 'warning');
    assert.deepEqual(judged({ slot: { twoPhase: true }, request: { pgoutput } }), []);
  });

  test('past the position that is asked for', () => {
    const { error } = only({ request: { startLsn: 0x1ffn } });
    assert.equal(slotReason(error), 'gap');
    assert.match(error.message, /0\/1FF.*0\/200/);
  });

  test('errors come before warnings', () => {
    const findings = judged({
      server: { walSendersInUse: 10 },
      slot: { invalidationReason: 'wal_removed' },
      request: { feedbackIntervalMs: 59_000 },
    });
    assert.deepEqual(
      findings.map(({ severity }) => severity),
      ['error', 'warning', 'warning'],
    );
    assert.ok(firstError(findings) instanceof SlotError);
  });
});
