import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigurationError } from '../../src/errors.js';
import { CommitEvent, MessageEvent, type WalEvent } from '../../src/pgoutput/event.js';
import type { WalStream } from '../../src/stream/wal-stream.js';
import { PG_MAJOR, sharedServer } from '../support/server.js';
import { failure, idOf, range, Source, until } from './source.js';

/** Often enough that several statuses were sent in {@link SETTLE_MS}. */
const feedbackIntervalMs = 20;
const SETTLE_MS = 300;

const ackError = (error: unknown) => error instanceof ConfigurationError && error.option === 'ack';

/** Takes events up to the next one of a kind. */
async function take<K extends WalEvent['kind']>(stream: WalStream, kind: K): Promise<Extract<WalEvent, { kind: K }>> {
  for (;;) {
    const event = await stream.nextEvent();
    assert.ok(event !== undefined && event !== null, `the stream ended before ${kind}`);
    if (event.kind === kind) return event as Extract<WalEvent, { kind: K }>;
  }
}

async function takeCommits(stream: WalStream, count: number): Promise<CommitEvent[]> {
  const commits: CommitEvent[] = [];
  while (commits.length < count) commits.push(await take(stream, 'commit'));
  return commits;
}

suite('acknowledgement', () => {
  const server = sharedServer();

  suite("ack: 'auto'", () => {
    test('a transaction is confirmed when the consumer comes back from its commit', async (t) => {
      const source = await Source.open(t, server());
      for (const id of [1, 2, 3]) await source.insert(id);
      const stream = source.stream({ feedbackIntervalMs });
      const first = await take(stream, 'commit');
      await sleep(SETTLE_MS);
      assert.ok((await source.confirmed()) < first.commitEndLsn, 'not while the consumer has it');
      await stream.nextEvent();
      await until(async () => (await source.confirmed()) >= first.commitEndLsn, 'the first is confirmed');
      assert.equal(await source.confirmed(), first.commitEndLsn);
      const second = await take(stream, 'commit');
      await sleep(SETTLE_MS);
      assert.equal(await source.confirmed(), first.commitEndLsn);
      assert.equal(stream.stats().flushedLsn, first.commitEndLsn);
      await stream.nextEvent({ timeoutMs: 0 });
      await until(async () => (await source.confirmed()) >= second.commitEndLsn, 'the second is confirmed');
      await stream.stop({ drain: 'none' });
      assert.deepEqual(await source.rest(), [3]);
    });

    test('a poll that comes back empty confirms what was before', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      const stream = source.stream({ feedbackIntervalMs });
      const { commitEndLsn } = await take(stream, 'commit');
      assert.equal(await stream.nextEvent({ timeoutMs: 10 }), null);
      await until(async () => (await source.confirmed()) >= commitEndLsn, 'it is confirmed');
    });

    test('batches: confirmed when the consumer comes back for the next', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      const stream = source.stream({ feedbackIntervalMs });
      const iterator = stream.batches();
      let commit: CommitEvent | undefined;
      while (commit === undefined) {
        const { value } = await iterator.next();
        commit = [...value].find((event): event is CommitEvent => event instanceof CommitEvent);
      }
      await sleep(SETTLE_MS);
      assert.ok((await source.confirmed()) < commit.commitEndLsn);
      const next = iterator.next();
      const { commitEndLsn } = commit;
      await until(async () => (await source.confirmed()) >= commitEndLsn, 'it is confirmed');
      await stream.stop();
      await next;
    });

    test('raw messages are acknowledged like events', async (t) => {
      const source = await Source.open(t, server());
      for (const id of [1, 2, 3]) await source.insert(id);
      let commits = 0;
      for await (const { data } of source.stream().rawMessages()) if (data[0] === 0x43 && ++commits === 2) break;
      assert.deepEqual(await source.rest(), [2, 3]);
    });

    for (const [how, leave] of [
      ['break', () => true],
      [
        'throw',
        () => {
          throw new Error('of the consumer');
        },
      ],
    ] as const) {
      test(`${how}: nothing is confirmed past it`, async (t) => {
        const source = await Source.open(t, server());
        for (const id of [1, 2]) await source.insert(id);
        await source.insert(3, 5);
        await source.insert(6);
        const consume = async (wanted: (event: WalEvent) => boolean) => {
          for await (const event of source.stream({ feedbackIntervalMs })) if (wanted(event) && leave()) break;
        };
        const leaving = (wanted: (event: WalEvent) => boolean) =>
          how === 'throw' ? failure(consume(wanted)) : consume(wanted);
        await leaving((event) => event.kind === 'insert' && idOf(event) === 4);
        assert.deepEqual(await source.rest(), [3, 4, 5, 6], 'the transaction left half-way comes again, whole');
        // At the commit itself: the consumer has not come back from it.
        await leaving((event) => event.kind === 'commit');
        assert.deepEqual(await source.rest(), [3, 4, 5, 6]);
        // At the begin of the next it has.
        let begins = 0;
        await leaving((event) => event.kind === 'begin' && ++begins === 2);
        assert.deepEqual(await source.rest(), [6]);
      });
    }

    test('batches left by break are not confirmed', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      await source.insert(2);
      for await (const _ of source.stream().batches()) break;
      assert.deepEqual(await source.rest(), [1, 2]);
    });

    test('wherever streams are left, the next goes on with the first unconfirmed transaction', async (t) => {
      const source = await Source.open(t, server());
      const sizes = [1, 3, 1, 700, 2, 1, 5, 1, 40, 1];
      let id = 1;
      const firsts: number[] = [];
      for (const size of sizes) {
        firsts.push(id);
        await source.insert(id, id + size - 1, 200);
        id += size;
      }
      let confirmed = 0;
      for (let round = 0; confirmed < sizes.length; round++) {
        // Left after so many events, within transactions and between them.
        let left = 1 + ((round * 7) % 23) + (sizes[confirmed] ?? 0);
        let expected = firsts[confirmed] ?? Number.NaN;
        let ended = 0;
        const stopLsn = await source.lsn();
        let finished = true;
        for await (const event of source.stream({ stopLsn, feedbackIntervalMs })) {
          confirmed += ended;
          ended = 0;
          if (event.kind === 'insert') assert.equal(idOf(event), expected++);
          if (event.kind === 'commit') ended = 1;
          if (--left === 0) {
            finished = false;
            break;
          }
        }
        if (finished) confirmed += ended;
        await source.free();
        assert.ok(round < 100);
      }
      assert.deepEqual(await source.rest(), []);
    });

    test('stop() sends a last status', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      const stream = source.stream({ feedbackIntervalMs: 2_147_483_647 });
      const { commitEndLsn } = await take(stream, 'commit');
      const next = stream.nextEvent();
      await sleep(50);
      await stream.stop();
      assert.equal(await next, undefined);
      await source.free();
      assert.ok((await source.confirmed()) >= commitEndLsn);
    });

    test('ack() is an error that says so', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      const stream = source.stream();
      const commit = await take(stream, 'commit');
      assert.throws(() => stream.ack(commit), ackError);
      assert.throws(() => stream.ack(commit.commitEndLsn), ackError);
    });
  });

  suite("ack: 'manual'", () => {
    const manual = { ack: 'manual', feedbackIntervalMs } as const;

    test('nothing is confirmed unasked', async (t) => {
      const source = await Source.open(t, server());
      for (const id of [1, 2]) await source.insert(id);
      const stream = source.stream(manual);
      const [first] = await takeCommits(stream, 2);
      assert.equal(await stream.nextEvent({ timeoutMs: SETTLE_MS }), null);
      assert.ok((await source.confirmed()) < (first?.commitEndLsn ?? 0n));
      await stream.stop();
      assert.deepEqual(await source.rest(), [1, 2]);
    });

    test('an LSN: everything delivered that ends at or before it', async (t) => {
      const source = await Source.open(t, server());
      for (const id of [1, 2, 3, 4]) await source.insert(id);
      const stream = source.stream(manual);
      const [first, second, third] = await takeCommits(stream, 3);
      assert.ok(first !== undefined && second !== undefined && third !== undefined);
      stream.ack(third.commitEndLsn - 1n);
      await until(async () => (await source.confirmed()) >= second.commitEndLsn, 'two are confirmed');
      await sleep(SETTLE_MS);
      assert.equal(await source.confirmed(), second.commitEndLsn);
      // Going back changes nothing.
      stream.ack(first.commitEndLsn);
      stream.ack(0n);
      // What was not delivered is not confirmed by a position far ahead.
      stream.ack(0xffff_ffff_ffff_ffffn);
      await until(async () => (await source.confirmed()) >= third.commitEndLsn, 'three are confirmed');
      await sleep(SETTLE_MS);
      assert.equal(await source.confirmed(), third.commitEndLsn);
      await stream.stop({ drain: 'none' });
      assert.deepEqual(await source.rest(), [4]);
    });

    test('commit events out of order: the contiguous frontier', async (t) => {
      const source = await Source.open(t, server());
      for (const id of range(1, 5)) await source.insert(id);
      const stream = source.stream(manual);
      const [first, second, third, fourth, fifth] = await takeCommits(stream, 5);
      assert.ok(first && second && third && fourth && fifth);
      stream.ack(third);
      stream.ack(second);
      stream.ack(fifth);
      await sleep(SETTLE_MS);
      assert.ok((await source.confirmed()) < first.commitEndLsn);
      stream.ack(first);
      await until(async () => (await source.confirmed()) >= third.commitEndLsn, 'three are confirmed');
      await sleep(SETTLE_MS);
      assert.equal(await source.confirmed(), third.commitEndLsn);
      // Twice is once.
      stream.ack(first);
      stream.ack(fourth);
      await stream.stop();
      await source.free();
      assert.ok((await source.confirmed()) >= fifth.commitEndLsn);
      assert.deepEqual(await source.rest(), []);
    });

    test('a commit of another stream confirms nothing here', async (t) => {
      const source = await Source.open(t, server());
      for (const id of range(1, 4)) await source.insert(id);
      const earlier = source.stream(manual);
      const [first, , third] = await takeCommits(earlier, 3);
      assert.ok(first && third);
      earlier.ack(first);
      await earlier.stop({ drain: 'none' });
      await source.free();
      const stream = source.stream(manual);
      await takeCommits(stream, 3);
      stream.ack(first);
      stream.ack(third);
      await sleep(SETTLE_MS);
      assert.equal(await source.confirmed(), first.commitEndLsn);
      await stream.stop();
      assert.deepEqual(await source.rest(), [2, 3, 4]);
    });

    test('a message that stands alone is a unit of its own', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      await source.query(`SELECT pg_logical_emit_message(false, 'alone', 'one')`);
      // Flushed with the next commit.
      await source.query(`SELECT pg_logical_emit_message(true, 'inside', 'two')`);
      const stream = source.stream({ ...manual, messages: true });
      const units: (CommitEvent | MessageEvent)[] = [];
      let inside: MessageEvent | undefined;
      while (units.length < 3) {
        const event = await stream.nextEvent();
        if (event instanceof CommitEvent) units.push(event);
        if (event instanceof MessageEvent && event.transactional) inside = event;
        if (event instanceof MessageEvent && !event.transactional) units.push(event);
      }
      const [commit, message, last] = units;
      assert.ok(commit instanceof CommitEvent && message instanceof MessageEvent && last && inside);
      assert.throws(() => stream.ack(inside), ackError);
      stream.ack(message);
      await sleep(SETTLE_MS);
      assert.ok((await source.confirmed()) < commit.commitEndLsn);
      stream.ack(commit);
      await until(async () => (await source.confirmed()) >= message.lsn, 'commit and message are confirmed');
      await sleep(SETTLE_MS);
      assert.equal(await source.confirmed(), message.lsn);
      stream.ack(last);
      await stream.stop();
      assert.deepEqual(await source.rest(), []);
    });

    test('changes and other things are no positions', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      const stream = source.stream(manual);
      for (const kind of ['begin', 'relation', 'insert'] as const) {
        const event = await take(stream, kind);
        assert.throws(() => stream.ack(event as never), ackError, kind);
      }
      for (const junk of [undefined, null, 1, '0/1', {}, []]) assert.throws(() => stream.ack(junk as never), ackError);
    });

    test('ack() after the end is too late, and no error', async (t) => {
      const source = await Source.open(t, server());
      await source.insert(1);
      const stream = source.stream(manual);
      const commit = await take(stream, 'commit');
      await stream.stop();
      stream.ack(commit);
      assert.deepEqual(await source.rest(), [1]);
    });
  });

  suite('idle slots', () => {
    for (const ack of ['auto', 'manual'] as const) {
      test(`${ack}: confirmed_flush_lsn follows what is written elsewhere, and no WAL is pinned`, async (t) => {
        const source = await Source.open(t, server());
        await source.query(`CREATE TABLE ${source.name}_other (note text)`);
        const stream = source.stream({ ack, feedbackIntervalMs });
        const kinds: string[] = [];
        const consumed = (async () => {
          for await (const event of stream) {
            kinds.push(event.kind);
            if (ack === 'manual' && event.kind === 'commit') stream.ack(event);
          }
        })();
        for (let round = 0; round < 3; round++) {
          await source.query(`INSERT INTO ${source.name}_other SELECT repeat('x', 500) FROM generate_series(1, 2000)`);
          const written = await source.lsn();
          await until(async () => (await source.confirmed()) >= written, `round ${round} is confirmed`);
        }
        const written = await source.lsn();
        // restart_lsn moves with the next record of running transactions, which a checkpoint writes.
        await until(async () => {
          await source.query('CHECKPOINT');
          const slot = `(SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '${source.name}')`;
          return (await source.lsn(slot)) >= written;
        }, 'the WAL is not pinned');
        await stream.stop();
        await consumed;
        // Up to 14 a transaction without published changes is sent all the same, empty.
        if (PG_MAJOR >= 15) assert.deepEqual(kinds, []);
        else assert.deepEqual([...new Set(kinds)], ['begin', 'commit']);
      });
    }

    test('an unconfirmed transaction holds, whatever is written elsewhere', async (t) => {
      const source = await Source.open(t, server());
      await source.query(`CREATE TABLE ${source.name}_other (note text)`);
      await source.insert(1);
      const stream = source.stream({ ack: 'manual', feedbackIntervalMs });
      await take(stream, 'insert');
      const commit = await take(stream, 'commit');
      await source.query(`INSERT INTO ${source.name}_other SELECT repeat('x', 500) FROM generate_series(1, 2000)`);
      const empty: CommitEvent[] = [];
      for (let event = await stream.nextEvent({ timeoutMs: SETTLE_MS }); event; ) {
        if (event instanceof CommitEvent) empty.push(event);
        event = await stream.nextEvent({ timeoutMs: SETTLE_MS });
      }
      for (const one of empty) stream.ack(one);
      await sleep(SETTLE_MS);
      assert.ok((await source.confirmed()) < commit.commitEndLsn);
      // All before it too: up to 14, CREATE TABLE came as a transaction.
      stream.ack(commit.commitEndLsn);
      const written = await source.lsn();
      await until(async () => (await source.confirmed()) >= written, 'it is idle again');
    });

    test('a transaction received half-way holds', async (t) => {
      const source = await Source.open(t, server());
      await source.query(`CREATE TABLE ${source.name}_other (note text)`);
      await source.insert(1, 40_000, 200);
      const stream = source.stream({ feedbackIntervalMs, maxInFlightBytes: 1024 * 1024 });
      const { commitLsn } = await take(stream, 'insert');
      assert.ok(commitLsn !== undefined);
      await source.query(`INSERT INTO ${source.name}_other SELECT repeat('x', 500) FROM generate_series(1, 2000)`);
      await sleep(SETTLE_MS * 2);
      assert.ok((await source.confirmed()) < commitLsn);
      await stream.stop({ drain: 'none' });
      assert.ok((await source.confirmed()) < commitLsn);
      assert.equal((await source.rest()).length, 40_000);
    });
  });
});
