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
