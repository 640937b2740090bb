import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { DecodeError } from '../../src/errors.js';
import { RelationRegistry } from '../../src/stream/relation-registry.js';
import * as wire from '../support/pgoutput-bytes.js';

const ONE = wire.relation({ id: 5, columns: [{ name: 'one' }] });
const TWO = wire.relation({ id: 5, columns: [{ name: 'two' }] });

function columnOf(registry: RelationRegistry): string | undefined {
  return registry.get(5)?.relation.columns[0]?.name;
}

/** Describes in a block of a transaction. */
function describeFor(registry: RelationRegistry, xid: number, message: Buffer): void {
  registry.enterBlock(xid);
  registry.describe(message);
  registry.leaveBlock();
}

suite('what a streamed transaction describes', () => {
  test('holds in its blocks only, until it commits', () => {
    const registry = new RelationRegistry();
    registry.describe(ONE);
    describeFor(registry, 7, TWO);
    assert.equal(columnOf(registry), 'one');
    registry.enterBlock(8);
    assert.equal(columnOf(registry), 'one');
    registry.leaveBlock();
    registry.enterBlock(7);
    assert.equal(columnOf(registry), 'two');
    registry.leaveBlock();
    registry.commitStreamed(7);
    assert.equal(columnOf(registry), 'two');
    assert.equal(registry.isStreamed(7), false);
  });

  test('does not replace what was described later', () => {
    const registry = new RelationRegistry();
    describeFor(registry, 7, TWO);
    registry.describe(ONE);
    registry.commitStreamed(7);
    assert.equal(columnOf(registry), 'one');
  });

  test('goes with it', () => {
    const registry = new RelationRegistry();
    describeFor(registry, 7, TWO);
    registry.forgetDescribed(7);
    assert.equal(registry.isStreamed(7), true);
    registry.commitStreamed(7);
    describeFor(registry, 8, TWO);
    registry.dropStreamed(8);
    registry.commitStreamed(8);
    assert.equal(columnOf(registry), undefined);
    assert.equal(registry.isStreamed(8), false);
  });

  test('is one version with the same description elsewhere', () => {
    const registry = new RelationRegistry();
    const versions = new Set<unknown>();
    for (let xid = 1; xid <= 100; xid++) {
      registry.enterBlock(xid);
      versions.add(registry.describe(ONE));
      registry.leaveBlock();
    }
    assert.equal(versions.size, 1);
  });
});

test('more transactions in progress than a server can have are an error, and any number one after the other', () => {
  const registry = new RelationRegistry();
  for (let xid = 1; xid <= 300_000; xid++) {
    registry.enterBlock(xid);
    registry.leaveBlock();
    registry.dropStreamed(xid);
  }
  for (let xid = 1; xid <= 0x3ffff; xid++) registry.enterBlock(xid);
  registry.enterBlock(1);
  assert.throws(() => registry.enterBlock(0x40000), DecodeError);
});

suite('relations without end', () => {
  const MAX_BYTES = 100_000;
  const described = (id: number) => wire.relation({ id, columns: [{ name: 'x'.repeat(63) }] });
  const most = Math.ceil(MAX_BYTES / described(1).length);

  test('are an error', () => {
    const registry = new RelationRegistry(MAX_BYTES);
    assert.throws(
      () => {
        for (let id = 1; id <= most; id++) registry.describe(described(id));
      },
      (error) => error instanceof DecodeError && error.relationId !== undefined,
    );
    assert.ok(registry.get(1) !== undefined);
  });

  test('are an error in streamed transactions too', () => {
    const registry = new RelationRegistry(MAX_BYTES);
    assert.throws(() => {
      for (let xid = 1; xid <= most; xid++) describeFor(registry, xid, described(1));
    }, DecodeError);
  });

  test('are none when they come again, or with transactions that end', () => {
    const registry = new RelationRegistry(MAX_BYTES);
    const [one, two] = [described(1), described(2)];
    for (let xid = 1; xid <= most; xid++) {
      registry.describe(one);
      describeFor(registry, xid, two);
      if (xid % 3 === 0) registry.dropStreamed(xid);
      else if (xid % 3 === 1) registry.commitStreamed(xid);
      else registry.dropAllStreamed();
    }
    assert.ok(registry.get(2) !== undefined);
  });
});
