import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { WalEvent, WalStreamOptions } from '../../src/index.js';
import { PgoutputDecoder } from '../../src/pgoutput/index.js';
import type { WalSource } from '../../src/testing/index.js';
import { ordersTape, sender, streamFrom } from '../testing/events.js';

const OPTIONS: Partial<WalStreamOptions> = { streaming: 'on', retry: { minDelayMs: 1, maxDelayMs: 20 } };

/** What a consumer keeps of a stream by the rules of streamAbort and streamCommit alone: ids by xid. */
class Kept {
  readonly pending = new Map<number, string[]>();
  readonly committed: string[][] = [];
  #block: string[] | undefined;

  /** Whether that was the end of a transaction. */
  take(event: WalEvent): boolean {
    if (event.kind === 'streamStart') {
      assert.equal(this.#block, undefined, 'the block before has ended');
      assert.equal(event.isFirst, !this.pending.has(event.xid), 'a first block is the first');
      this.#block = this.pending.get(event.xid) ?? [];
      this.pending.set(event.xid, this.#block);
    } else if (event.kind === 'streamStop') {
      this.#block = undefined;
    } else if (event.kind === 'streamAbort') {
      assert.equal(event.xid, event.subxid);
      assert.ok(this.pending.delete(event.xid), 'what is aborted was streamed');
    } else if (event.kind === 'streamCommit') {
      this.committed.push(this.pending.get(event.xid) ?? []);
      this.pending.delete(event.xid);
    } else if (event.kind === 'insert') {
      this.#block?.push(String(event.new.id));
    }
    return event.kind === 'streamCommit';
  }
}

/** Two large transactions; the second is gone once the connection was lost: rolled back, and never named again. */
function vanishing(): WalSource {
  const { tape, insert } = ordersTape();
  const large = { large: true, streamBlocks: 3 } as const;
  tape.transaction([insert(), insert(), insert()], large);
  let connections = 0;
  return {
    startLsn: tape.startLsn,
    endLsn: tape.endLsn,
    async *steps(request, signal) {
      const isFirst = ++connections === 1;
      const others = ordersTape();
      others.tape.transaction([others.insert(), others.insert()], { ...large, streamBlocks: 2, xid: 9_000 });
      if (isFirst) {
        for await (const one of others.tape.steps(request, signal)) {
          // Its blocks, and then no end.
          if (one.kind === 'wal' && one.data[0] === 0x63) break;
          yield one;
        }
      }
      yield* tape.steps(request, signal);
    },
  };
}

suite('a connection that is lost in or between the blocks of streamed transactions', () => {
  async function keptFrom(message: number, style: 'events' | 'batches'): Promise<void> {
    const faults = [{ kind: 'cut', at: { message, byte: 'end' } } as const];
    await using from = await sender(vanishing(), { faults });
    await using stream = streamFrom(from, OPTIONS);
    const kept = new Kept();
    if (style === 'events') {
      for await (const event of stream) if (kept.take(event)) break;
    } else {
      for await (const batch of stream.batches()) if (Array.from(batch).some((event) => kept.take(event))) break;
    }
    assert.equal(stream.stats().reconnects, 1);
    assert.deepEqual(kept.committed, [['1', '2', '3']]);
    // What was lost with the connection is not waited for.
    assert.deepEqual([...kept.pending.keys()], []);
  }

  // The last is before the Stream Commit.
  for (const message of Array.from({ length: 17 }, (_, at) => at)) {
    test(`after message ${message}: the stream itself ends the block and takes the transactions back`, async () => {
      await keptFrom(message, 'events');
      await keptFrom(message, 'batches');
    });
  }

  test('raw messages: a decoder that is given them is not left in the block', async () => {
    await using from = await sender(vanishing(), { faults: [{ kind: 'cut', at: { message: 3, byte: 'end' } }] });
    await using stream = streamFrom(from, OPTIONS);
    const decoder = new PgoutputDecoder();
    const kinds: string[] = [];
    for await (const { data } of stream.rawMessages()) {
      const message = decoder.decode(data);
      if (message.kind !== 'relation') kinds.push(message.kind);
      if (message.kind === 'streamCommit') break;
    }
    const at = kinds.indexOf('streamAbort');
    assert.deepEqual(kinds.slice(at - 1, at + 2), ['streamStop', 'streamAbort', 'streamStart']);
  });

  test('with redelivery, of blocks that the consumer was given', async () => {
    await using from = await sender(vanishing(), { faults: [{ kind: 'cut', at: { message: 12, byte: 'end' } }] });
    await using stream = streamFrom(from, { ...OPTIONS, ack: 'manual', retry: { ...OPTIONS.retry, redeliver: true } });
    const kept = new Kept();
    for await (const event of stream) if (kept.take(event)) break;
    assert.deepEqual(kept.committed, [['1', '2', '3']]);
  });
});
