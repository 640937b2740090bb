import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Diagnosis } from '../../../src/cli/doctor/diagnosis.js';
import { prettyLines } from '../../../src/cli/doctor/doctor-command.js';
import type { DoctorFacts, DoctorServerFacts } from '../../../src/cli/doctor/doctor-facts.js';
import { judgeFacts, judgeWithoutConnection } from '../../../src/cli/doctor/judge-facts.js';
import { paletteFor } from '../../../src/cli/palette.js';
import { AuthenticationError, ConnectionError } from '../../../src/errors.js';
import type { CheckName, Finding } from '../../../src/index.js';
import { HEALTHY_SLOT } from '../../support/healthy-slot.js';

const GIBIBYTE = 1024n ** 3n;

const SERVER: DoctorServerFacts = {
  serverVersion: 180_004,
  host: 'db:5432',
  encrypted: true,
  database: 'shop',
  role: 'streamer',
  walLevel: 'logical',
  maxWalSenders: 10,
  walSendersInUse: 1,
  maxReplicationSlots: 10,
  maxSlotWalKeepSizeMb: -1,
  roundTripMs: 1,
  clockAheadMs: 3,
};

type Given = Partial<Omit<DoctorFacts, 'server'>> & { readonly server?: Partial<DoctorServerFacts> };

function judged(given: Given = {}): Diagnosis[] {
  return judgeFacts({
    nodeVersion: '20.0.0',
    replicationFailure: undefined,
    findings: [],
    wantedSlot: undefined,
    slots: [],
    publications: ['p'],
    ...given,
    server: { ...SERVER, ...given.server },
  });
}

/** The only thing that is not well. */
function only(given: Given): Diagnosis {
  const [one, ...more] = judged(given).filter(({ status }) => status !== 'ok');
  assert.ok(one !== undefined, 'all is well');
  assert.deepEqual(more, []);
  return one;
}

function finding(check: CheckName, severity: Finding['severity'] = 'error', remedy?: string): Finding {
  return {
    check,
    severity,
    message: `about ${check}`,
    ...(remedy !== undefined && { remedy }),
    error: () => new ConnectionError('never asked for', { host: 'h', phase: 'query' }),
  };
}

test('all is well, and everything is said to have been looked at', () => {
  const diagnoses = judged({
    wantedSlot: 's',
    slots: [{ ...HEALTHY_SLOT, active: true, retainedBytes: GIBIBYTE - 1n }],
  });
  assert.deepEqual(
    diagnoses.map(({ status, check }) => [status, check]),
    [
      'node',
      'server',
      'round-trip',
      'clock',
      'replication-connection',
      'wal-level',
      'privilege',
      'wal-senders',
      'replication-slots',
      'publication',
      'slot',
      'slot-health',
    ].map((check) => ['ok', check]),
  );
});

describe('one thing is not well', () => {
  for (const [what, given, status, check, words] of [
    ['an old Node', { nodeVersion: '18.20.1' }, 'problem', 'node', /install Node\.js 20/],
    ['a server from the future', { server: { serverVersion: 190_000 } }, 'warning', 'server', /tested with \(18\)/],
    ['a slow link', { server: { roundTripMs: 140 } }, 'warning', 'round-trip', /140\.0 ms/],
    ['a clock ahead', { server: { clockAheadMs: 90_000 } }, 'warning', 'clock', /90\.0 s ahead of/],
    ['a clock behind', { server: { clockAheadMs: -1_500 } }, 'warning', 'clock', /1\.5 s behind/],
    [
      'no replication connection',
      { replicationFailure: 'no pg_hba.conf entry' },
      'problem',
      'replication-connection',
      /no pg_hba\.conf entry.*REPLICATION/s,
    ],
    ['a pooler', { findings: [finding('pooler')] }, 'problem', 'pooler', /about pooler/],
    ['wal_level', { findings: [finding('wal-level', 'error', 'ALTER')] }, 'problem', 'wal-level', /about.*ALTER/s],
    ['a privilege', { findings: [finding('privilege')] }, 'problem', 'privilege', /about/],
    ['a standby', { findings: [finding('standby', 'warning')] }, 'warning', 'standby', /about/],
    ['one sender left', { server: { walSendersInUse: 9 } }, 'warning', 'wal-senders', /1 of 10.*= 20/s],
    ['no sender left', { server: { walSendersInUse: 10 } }, 'problem', 'wal-senders', /0 of 10/],
    ['no slot left', { server: { maxReplicationSlots: 0 } }, 'problem', 'replication-slots', /0 of 0.*= 10/s],
    [
      'no slot left, and none needed',
      { server: { maxReplicationSlots: 1 }, slots: [HEALTHY_SLOT], wantedSlot: 's' },
      'warning',
      'replication-slots',
      /0 of 1/,
    ],
    ['no publication', { publications: [] }, 'warning', 'publication-missing', /shop.*CREATE PUBLICATION/s],
    ['a publication', { findings: [finding('publication-missing')] }, 'problem', 'publication-missing', /about/],
    ['an identity', { findings: [finding('replica-identity', 'warning')] }, 'warning', 'replica-identity', /about/],
    ['the slot', { findings: [finding('slot-missing')], wantedSlot: 's' }, 'problem', 'slot-missing', /about/],
    [
      'a lost slot',
      { slots: [{ ...HEALTHY_SLOT, invalidationReason: 'wal_removed', walStatus: 'lost' }] },
      'warning',
      'slot-lost',
      /wal_removed.*pg_drop_replication_slot\('s'\)/s,
    ],
    [
      'the wanted slot is lost: once is enough',
      {
        slots: [{ ...HEALTHY_SLOT, invalidationReason: 'wal_removed', walStatus: 'lost' }],
        findings: [finding('slot-invalidated')],
        wantedSlot: 's',
      },
      'problem',
      'slot-invalidated',
      /about/,
    ],
    [
      'a slot in danger',
      { slots: [{ ...HEALTHY_SLOT, active: true, walStatus: 'unreserved' }], server: { maxSlotWalKeepSizeMb: 100 } },
      'warning',
      'slot-danger',
      /next checkpoint.*'200MB'/s,
    ],
    [
      'a slot that is read, and far behind',
      { slots: [{ ...HEALTHY_SLOT, active: true, retainedBytes: 900n * GIBIBYTE }] },
      'warning',
      'slot-behind',
      /966\.37 GB of WAL although it is read, and will until the disk is full.*consumer/s,
    ],
    [
      'a slot that nobody reads',
      { slots: [{ ...HEALTHY_SLOT, retainedBytes: 2n * GIBIBYTE, inactiveSince: new Date(0) }] },
      'warning',
      'slot-inactive',
      /2\.\d* ?GB? .*since 1970-01-01T00:00:00\.000Z.*disk is full/s,
    ],
    [
      'a slot that nobody reads, with a bound',
      { slots: [{ ...HEALTHY_SLOT, retainedBytes: 2n * GIBIBYTE, safeWalSize: 1024n }] },
      'warning',
      'slot-inactive',
      /is lost after/,
    ],
  ] as const satisfies readonly (readonly [string, Given, Diagnosis['status'], string, RegExp])[]) {
    test(what, () => {
      const one = only(given);
      assert.deepEqual([one.status, one.check], [status, check]);
      assert.match(`${one.message}\n${one.remedy ?? ''}`, words);
    });
  }
});

test('slots in good health: those that nobody reads are named', () => {
  const read = { ...HEALTHY_SLOT, active: true };
  const said = (...slots: (typeof HEALTHY_SLOT)[]) => judged({ slots }).at(-1)?.message;
  assert.equal(said(read), 'all slots are in good health: 1');
  assert.equal(said(read, HEALTHY_SLOT), 'all slots are in good health: 2, of which nobody reads s');
  assert.equal(said(), 'there are no slots');
});

test('a slow answer is no wrong clock', () => {
  assert.deepEqual(
    judged({ server: { roundTripMs: 3_000, clockAheadMs: 2_000 } })
      .filter(({ status }) => status !== 'ok')
      .map(({ check }) => check),
    ['round-trip'],
  );
});

test('without a connection: what to look at', () => {
  const refused = new ConnectionError('refused', { host: 'h', phase: 'connect' });
  const [node, connection] = judgeWithoutConnection('20.0.0', refused);
  assert.equal(node?.status, 'ok');
  assert.deepEqual([connection?.status, connection?.message], ['problem', 'refused']);
  assert.match(connection?.remedy ?? '', /listen_addresses/);
  const denied = new AuthenticationError('denied', { method: 'scram', sqlState: '28P01' });
  assert.match(judgeWithoutConnection('20.0.0', denied)[1]?.remedy ?? '', /pg_hba\.conf/);
});

test('lines for people: one for each, what mends it below, a count', () => {
  const diagnoses: Diagnosis[] = [
    { status: 'ok', check: 'a', message: 'fine' },
    { status: 'warning', check: 'b', message: 'so\nso' },
    { status: 'problem', check: 'c', message: 'bad', remedy: 'MEND IT' },
  ];
  assert.equal(
    prettyLines(diagnoses, paletteFor({ isTTY: false })),
    'ok       fine\nwarning  so so\nproblem  bad\n         MEND IT\n\n1 problem, 1 warning\n',
  );
  assert.match(prettyLines(diagnoses, paletteFor({ isTTY: true }, {})), /\[31mproblem/);
  assert.doesNotMatch(prettyLines(diagnoses, paletteFor({ isTTY: true }, { NO_COLOR: '1' })), /\[\d+m/);
});
