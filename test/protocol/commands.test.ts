import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigurationError } from '../../src/errors.js';
import {
  alterReplicationSlot,
  checkPgoutputOptions,
  createReplicationSlot,
  dropReplicationSlot,
  type PgoutputOptions,
  type PgoutputRequest,
  protoVersionFor,
  readReplicationSlot,
  resolvePgoutputOptions,
  startLogicalReplication,
  startPhysicalReplication,
  timelineHistory,
} from '../../src/protocol/commands.js';

const VERSIONS = [140_023, 150_018, 160_014, 170_010, 180_004] as const;

function refused(option: string, words: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ConfigurationError, String(error));
    assert.equal(error.option, option);
    assert.match(error.message, words);
    return true;
  };
}

function options(request: Omit<PgoutputRequest, 'publications'> = {}): PgoutputOptions {
  return resolvePgoutputOptions({ publications: ['p'], ...request });
}

describe('CREATE_REPLICATION_SLOT', () => {
  test('14 has positional keywords', () => {
    const create = (slot: Parameters<typeof createReplicationSlot>[0]) => createReplicationSlot(slot, 140_023);
    assert.equal(
      create({ kind: 'logical', name: 's' }),
      'CREATE_REPLICATION_SLOT "s" LOGICAL "pgoutput" NOEXPORT_SNAPSHOT',
    );
    assert.equal(
      create({ kind: 'logical', name: 's', temporary: true, snapshot: 'export' }),
      'CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL "pgoutput" EXPORT_SNAPSHOT',
    );
    assert.equal(
      create({ kind: 'logical', name: 's', plugin: 'test_decoding', snapshot: 'use' }),
      'CREATE_REPLICATION_SLOT "s" LOGICAL "test_decoding" USE_SNAPSHOT',
    );
    assert.equal(
      create({ kind: 'physical', name: 's', reserveWal: true }),
      'CREATE_REPLICATION_SLOT "s" PHYSICAL RESERVE_WAL',
    );
    assert.throws(
      () => create({ kind: 'logical', name: 's', twoPhase: true }),
      refused('slot.twoPhase', /needs PostgreSQL 15 or later/),
    );
  });

  test('15 and later have a list', () => {
    for (const version of VERSIONS.slice(1)) {
      const create = (slot: Parameters<typeof createReplicationSlot>[0]) => createReplicationSlot(slot, version);
      assert.equal(
        create({ kind: 'logical', name: 's', temporary: true, twoPhase: true, snapshot: 'export' }),
        `CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL "pgoutput" (SNAPSHOT 'export', TWO_PHASE)`,
      );
      assert.equal(
        create({ kind: 'logical', name: 's' }),
        `CREATE_REPLICATION_SLOT "s" LOGICAL "pgoutput" (SNAPSHOT 'nothing')`,
      );
      assert.equal(
        create({ kind: 'physical', name: 's', temporary: true, reserveWal: true }),
        'CREATE_REPLICATION_SLOT "s" TEMPORARY PHYSICAL (RESERVE_WAL)',
      );
      assert.equal(create({ kind: 'physical', name: 's' }), 'CREATE_REPLICATION_SLOT "s" PHYSICAL');
    }
  });

  test('failover needs 17 and a slot that stays', () => {
    for (const version of VERSIONS) {
      const create = () => createReplicationSlot({ kind: 'logical', name: 's', failover: true }, version);
      if (version >= 170_000) assert.match(create(), /\(SNAPSHOT 'nothing', FAILOVER\)$/);
      else assert.throws(create, refused('slot.failover', /needs PostgreSQL 17 or later/));
    }
    assert.throws(
      () => createReplicationSlot({ kind: 'logical', name: 's', failover: true, temporary: true }, 180_004),
      refused('slot.failover', /temporary/),
    );
  });

  test('a name that is no slot name is refused', () => {
    assert.throws(
      () => createReplicationSlot({ kind: 'physical', name: 'S" PHYSICAL' }, 180_004),
      refused('slot.name', /lower-case/),
    );
  });
});

describe('other slot commands', () => {
  test('DROP_REPLICATION_SLOT', () => {
    assert.equal(dropReplicationSlot('s'), 'DROP_REPLICATION_SLOT "s"');
    assert.equal(dropReplicationSlot('s', { wait: true }), 'DROP_REPLICATION_SLOT "s" WAIT');
  });

  test('ALTER_REPLICATION_SLOT came with 17, its TWO_PHASE with 18', () => {
    assert.equal(alterReplicationSlot('s', { failover: true }, 170_010), 'ALTER_REPLICATION_SLOT "s" (FAILOVER true)');
    assert.equal(
      alterReplicationSlot('s', { failover: false, twoPhase: true }, 180_004),
      'ALTER_REPLICATION_SLOT "s" (FAILOVER false, TWO_PHASE true)',
    );
    assert.throws(() => alterReplicationSlot('s', { failover: true }, 160_014), refused('slot', /17 or later.*16\.14/));
    assert.throws(
      () => alterReplicationSlot('s', { twoPhase: true }, 170_010),
      refused('slot.twoPhase', /18 or later/),
    );
    assert.throws(() => alterReplicationSlot('s', {}, 180_004), refused('slot', /nothing to alter/));
  });

  test('READ_REPLICATION_SLOT came with 15', () => {
    assert.equal(readReplicationSlot('s', 150_018), 'READ_REPLICATION_SLOT "s"');
    assert.throws(() => readReplicationSlot('s', 140_023), refused('slot', /15 or later/));
  });
});

/** 14 has 2, 15 has 3, 16 and later have 4. */
function newestProtoVersion(serverVersion: number): number {
  return Math.min(Math.floor(serverVersion / 10_000) - 12, 4);
}

describe('START_REPLICATION', () => {
  test('leaves out what is the default', () => {
    for (const version of VERSIONS) {
      assert.equal(
        startLogicalReplication({ slot: 's', startLsn: 0n, pgoutput: options() }, version),
        `START_REPLICATION SLOT "s" LOGICAL 0/0 ("proto_version" '${newestProtoVersion(version)}', "publication_names" '"p"')`,
      );
    }
  });

  test('asks for everything', () => {
    const pgoutput = options({ binary: true, messages: true, streaming: 'parallel', twoPhase: true, origin: 'none' });
    assert.equal(
      startLogicalReplication({ slot: 's', startLsn: 0x16_b374_d848n, pgoutput }, 180_004),
      `START_REPLICATION SLOT "s" LOGICAL 16/B374D848 ("proto_version" '4', "publication_names" '"p"', "binary" 'true', ` +
        `"messages" 'true', "streaming" 'parallel', "two_phase" 'on', "origin" 'none')`,
    );
  });

  test('publication names are identifiers in a literal', () => {
    const pgoutput = resolvePgoutputOptions({ publications: ["o'r", 'a"b,c', 'Ä\\'] });
    assert.match(
      startLogicalReplication({ slot: 's', startLsn: 1n, pgoutput }, 180_004),
      /"publication_names" '"o''r","a""b,c","Ä\\"'\)$/,
    );
  });

  test('physical', () => {
    assert.equal(startPhysicalReplication({ startLsn: 0x100_0000n }), 'START_REPLICATION PHYSICAL 0/1000000');
    assert.equal(
      startPhysicalReplication({ slot: 's', startLsn: 0n, timeline: 3 }),
      'START_REPLICATION SLOT "s" PHYSICAL 0/0 TIMELINE 3',
    );
    assert.equal(timelineHistory(2), 'TIMELINE_HISTORY 2');
  });

  test('a position or timeline out of range is refused', () => {
    for (const startLsn of [-1n, 1n << 64n]) {
      assert.throws(() => startPhysicalReplication({ startLsn }), refused('startLsn', /64-bit/));
    }
    for (const timeline of [0, -1, 1.5, Number.NaN, 2 ** 32]) {
      assert.throws(() => timelineHistory(timeline), refused('timeline', /between 1 and/));
    }
  });
});

describe('options of pgoutput', () => {
  test('the protocol version is what was asked for, or the newest that the server has', () => {
    assert.equal(protoVersionFor(options(), 130_000), 1);
    for (const version of VERSIONS) {
      assert.equal(protoVersionFor(options(), version), newestProtoVersion(version));
      assert.equal(protoVersionFor(options({ protoVersion: 1 }), version), 1);
    }
  });

  const since: readonly (readonly [Omit<PgoutputRequest, 'publications'>, string, number])[] = [
    [{ protoVersion: 2 }, 'protoVersion', 14],
    [{ protoVersion: 3 }, 'protoVersion', 15],
    [{ protoVersion: 4 }, 'protoVersion', 16],
    [{ binary: true }, 'binary', 14],
    [{ messages: true }, 'messages', 14],
    [{ streaming: 'on' }, 'streaming', 14],
    [{ streaming: 'parallel' }, 'streaming', 16],
    [{ twoPhase: true }, 'twoPhase', 15],
    [{ origin: 'none' }, 'origin', 16],
  ];
  for (const [request, option, major] of since) {
    test(`${JSON.stringify(request)} needs PostgreSQL ${major}`, () => {
      for (const version of [130_020, ...VERSIONS]) {
        const check = () => checkPgoutputOptions(options(request), version);
        if (version >= major * 10_000) check();
        else assert.throws(check, refused(option, new RegExp(`needs PostgreSQL ${major} or later; this server is`)));
      }
    });
  }

  test('an option that the protocol version does not carry is refused', () => {
    const check = (request: Omit<PgoutputRequest, 'publications'>) => () =>
      checkPgoutputOptions(options(request), 180_004);
    assert.throws(check({ protoVersion: 1, streaming: 'on' }), refused('streaming', /protoVersion 2 or higher/));
    assert.throws(check({ protoVersion: 3, streaming: 'parallel' }), refused('streaming', /protoVersion 4 or higher/));
    assert.throws(check({ protoVersion: 2, twoPhase: true }), refused('twoPhase', /protoVersion 3 or higher/));
  });

  test('no publication, or a protocol version that does not exist, is refused', () => {
    assert.throws(
      () => checkPgoutputOptions(resolvePgoutputOptions({ publications: [] }), 180_004),
      refused('publications', /at least one/),
    );
    // As untyped callers may.
    const five = JSON.parse('{"protoVersion":5}');
    assert.throws(() => checkPgoutputOptions(options(five), 180_004), refused('protoVersion', /none of 1, 2, 3, 4/));
  });
});
