import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ConfigurationError, ConnectionError, ProtocolError, SlotError } from '../../src/errors.js';
import { Lsn } from '../../src/lsn.js';
import { parseTimelineHistory } from '../../src/protocol/timeline-history.js';
import { judgeResume, resumeLsn } from '../../src/stream/resume-point.js';
import { retryDelayMs, shouldRetry } from '../../src/stream/retry-policy.js';
import { ShutdownWatch } from '../../src/stream/shutdown-watch.js';
import fc from '../support/properties.js';

const POLICY = { maxAttempts: 3, minDelayMs: 100, maxDelayMs: 5_000 };

suite('retry policy', () => {
  test('pauses double between their bounds, and are never the same for all', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        (attempt, random) => {
          const delay = retryDelayMs(attempt, POLICY, random);
          const longest = Math.min(100 * 2 ** (attempt - 1), 5_000);
          assert.ok(delay >= longest / 2 && delay <= longest, String(delay));
        },
      ),
    );
    assert.notEqual(retryDelayMs(3, POLICY, 0.1), retryDelayMs(3, POLICY, 0.9));
  });

  test('only what the error says is worth it, and so often as is allowed', () => {
    const lost = new ConnectionError('gone', { host: 'h', phase: 'streaming' });
    assert.equal(shouldRetry(lost, 2, POLICY), true);
    assert.equal(shouldRetry(lost, 3, POLICY), false);
    assert.equal(shouldRetry(lost, 0, { ...POLICY, maxAttempts: 0 }), false);
    assert.equal(shouldRetry(lost, 1e9, { ...POLICY, maxAttempts: Number.POSITIVE_INFINITY }), true);
    assert.equal(shouldRetry(new SlotError('', { slotName: 's', reason: 'in-use' }), 0, POLICY), true);
    assert.equal(shouldRetry(new SlotError('', { slotName: 's', reason: 'gap' }), 0, POLICY), false);
    assert.equal(shouldRetry(new ConfigurationError('', { option: 'o' }), 0, POLICY), false);
    assert.equal(shouldRetry(new Error('not ours'), 0, POLICY), false);
  });
});

suite('timeline history', () => {
  test('as PostgreSQL writes it', () => {
    const content = '1\t0/3000110\tno recovery target specified\n\n2\t1A/F0\tbefore 2026-01-01\n';
    assert.deepEqual(parseTimelineHistory(content), [
      { timeline: 1, switchLsn: 0x3000110n },
      { timeline: 2, switchLsn: 0x1a_0000_00f0n },
    ]);
    assert.deepEqual(parseTimelineHistory('# nothing\n'), []);
  });

  test('anything else is a ProtocolError', () => {
    for (const content of ['1', 'x\t0/1\t', '1\t0-1\t', '1\t0/123456789\t', '12345678901\t0/1\t']) {
      assert.throws(() => parseTimelineHistory(content), ProtocolError, content);
    }
  });
});

suite('where a stream may go on', () => {
  const point = { systemIdentifier: '7', timeline: 2, lsn: 1000n, receivedLsn: 1000n, partLsn: undefined };
  const found = { systemIdentifier: '7', timeline: 2, walEnd: 1000n, inRecovery: false, history: [] };

  test('on the same server, and on a standby that was promoted with all that was received', () => {
    assert.equal(judgeResume(point, found, 's'), undefined);
    const history = [
      { timeline: 1, switchLsn: 10n },
      { timeline: 2, switchLsn: 1000n },
    ];
    assert.equal(judgeResume(point, { ...found, timeline: 3, history }, 's'), undefined);
    // It replays what it had.
    assert.equal(judgeResume(point, { ...found, walEnd: 5n, inRecovery: true }, 's'), undefined);
  });

  for (const [what, other, message] of [
    ['another cluster', { systemIdentifier: '8' }, /system identifier/],
    ['a server restored to an earlier state', { walEnd: 999n }, /earlier state/],
    [
      'a standby promoted without all of it',
      { timeline: 3, history: [{ timeline: 2, switchLsn: 999n }] },
      /promoted at 0\/3E7/,
    ],
    [
      'a timeline that comes from elsewhere',
      { timeline: 3, history: [{ timeline: 1, switchLsn: 2000n }] },
      /timeline 3/,
    ],
  ] as const) {
    test(`not on ${what}`, () => {
      const error = judgeResume(point, { ...found, ...other }, 's');
      assert.ok(error instanceof SlotError);
      assert.equal(error.reason, 'mismatch');
      assert.equal(error.retryable, false);
      assert.match(error.message, message);
    });
  }

  test('a standby that was promoted before a keepalive, but after every transaction: from there', () => {
    const promoted = { ...found, timeline: 3, history: [{ timeline: 2, switchLsn: 900n }] };
    const idle = { ...point, receivedLsn: 899n };
    assert.equal(judgeResume(idle, promoted, 's'), undefined);
    // What it wrote since then is new, though it lies before our position.
    assert.equal(resumeLsn(idle, promoted), 900n);
    assert.equal(resumeLsn(idle, found), 1000n);
    assert.equal(resumeLsn(idle, { ...promoted, history: [{ timeline: 2, switchLsn: 1100n }] }), 1000n);
  });

  test('not on one that was promoted without the transaction of which the beginning was received', () => {
    const promoted = { ...found, timeline: 3, history: [{ timeline: 2, switchLsn: 1500n }] };
    assert.equal(judgeResume({ ...point, partLsn: 1499n }, promoted, 's'), undefined);
    assert.equal(judgeResume({ ...point, partLsn: 1500n }, promoted, 's')?.reason, 'mismatch');
    // A prepared one is sent with its old position when the slot came later.
    assert.equal(judgeResume({ ...point, partLsn: 5n }, promoted, 's'), undefined);
  });

  test('messages name positions as PostgreSQL does', () => {
    const error = judgeResume({ ...point, lsn: 0x1_0000_0001n }, found, 's');
    assert.ok(error?.message.includes(Lsn.format(0x1_0000_0001n)));
  });
});

suite('a server in shutdown', () => {
  test('is noticed by its questions, waited for, and left', () => {
    const watch = new ShutdownWatch(60_000);
    const verdicts: string[] = [];
    for (let at = 0; at < 80; at++) verdicts.push(watch.asked(at * 100, 1));
    assert.deepEqual(new Set(verdicts.slice(0, 9)), new Set(['reply']));
    assert.equal(verdicts[9], 'reply-later');
    assert.equal(verdicts[58], 'reply-later');
    assert.equal(verdicts[59], 'leave');
  });

  test('is not one that asks because nothing else is to be said', () => {
    const watch = new ShutdownWatch(60_000);
    for (let at = 0; at < 100; at++) assert.equal(watch.asked(at * 30_000, 1), 'reply');
  });

  test('is not one that sends something in between, nor one that waits for nothing', () => {
    const watch = new ShutdownWatch(0);
    for (let at = 0; at < 1000; at++) {
      if (at % 5 === 0) watch.reset();
      assert.equal(watch.asked(at, 1), 'reply');
    }
    const idle = new ShutdownWatch(0);
    for (let at = 0; at < 100_000; at += 10) assert.equal(idle.asked(at, 0), 'reply');
  });
});
