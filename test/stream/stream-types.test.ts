import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { resolveConnectionConfig } from '../../src/connection/connection-config.js';
import { RelationVersion } from '../../src/pgoutput/relation.js';
import { RelationRegistry } from '../../src/stream/relation-registry.js';
import { StreamTypes } from '../../src/stream/stream-types.js';
import { Oid } from '../../src/types/oids.js';
import type { CompositeField, TypeDescriptor } from '../../src/types/type-descriptor.js';
import { TypeRules } from '../../src/types/type-rules.js';
import * as wire from '../support/pgoutput-bytes.js';

const CUSTOM = 20_000;

function relationOf(typeOid: number, version = 0, id = 5): RelationVersion {
  return new RelationVersion(version, messageOf(typeOid, id));
}

function messageOf(typeOid: number, id = 5): Buffer {
  return wire.relation({ id, schema: 's', table: 't', columns: [{ name: 'value', typeOid }] });
}

/** A server that takes connections and says nothing. */
async function silentServer(
  t: TestContext,
): Promise<{ config: ReturnType<typeof resolveConnectionConfig>; count: () => number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as { port: number };
  const config = resolveConnectionConfig({ host: '127.0.0.1', port, user: 'u', database: 'd', sslMode: 'disable' });
  return { config, count: () => sockets.length };
}

function composite(names: readonly string[]): TypeDescriptor {
  const fields: CompositeField[] = names.map((name) => ({ name, typeOid: Oid.text }));
  return { oid: CUSTOM, schema: 's', name: 'c', kind: 'composite', fields, earlierFields: [] };
}

test('built-in types, and types that were learned, need no look-up', async (t) => {
  const { config, count } = await silentServer(t);
  const types = new StreamTypes(() => config, new TypeRules('lossless'), 1_000);
  assert.equal(types.prepare([relationOf(Oid.int8), relationOf(1007)]), undefined);
  types.learn([composite(['a'])]);
  const relation = relationOf(CUSTOM, 1, 6);
  assert.equal(types.prepare([relation]), undefined);
  assert.deepEqual(relation.types, [composite(['a'])]);
  assert.equal(new StreamTypes(() => config, new TypeRules('text'), 1_000).prepare([relationOf(CUSTOM)]), undefined);
  await types.close();
  assert.equal(count(), 0);
});

test('a server that does not answer: decoding goes on within the bound, with one warning, and does not ask again', async (t) => {
  const { config, count } = await silentServer(t);
  const types = new StreamTypes(() => config, new TypeRules('lossless'), 200);
  const relation = relationOf(CUSTOM);
  const startedAt = performance.now();
  await Promise.all([types.prepare([relation]), types.prepare([relation])]);
  assert.ok(performance.now() - startedAt < 30_000);
  assert.deepEqual(relation.types, []);
  assert.equal(types.warnings.length, 1);
  assert.match(types.warnings[0] ?? '', /what types 20000 are.*no answer within 200 ms/);
  const next = relationOf(CUSTOM, 1);
  await types.prepare([next]);
  assert.deepEqual(next.types, []);
  assert.equal(types.warnings.length, 1);
  assert.equal(count(), 1);
  await types.close();
});

test('closing gives up a look-up', async (t) => {
  const { config } = await silentServer(t);
  const types = new StreamTypes(() => config, new TypeRules('lossless'), 60_000);
  const relation = relationOf(CUSTOM);
  const wait = types.prepare([relation]);
  const startedAt = performance.now();
  await types.close();
  await wait;
  assert.ok(performance.now() - startedAt < 30_000);
  assert.deepEqual(relation.types, []);
  assert.deepEqual(types.warnings, []);
});

test('what a composite type was before is kept, the newest first, and so many', () => {
  const types = new StreamTypes(
    () => resolveConnectionConfig({ host: 'h', user: 'u' }),
    new TypeRules('lossless'),
    1_000,
  );
  assert.equal(types.learn([composite(['a'])]), true);
  assert.equal(types.learn([composite(['a'])]), false);
  for (let count = 2; count < 20; count++) types.learn([composite(Array.from({ length: count }, (_, at) => `f${at}`))]);
  const relation = relationOf(CUSTOM);
  types.prepare([relation]);
  const [type] = relation.types ?? [];
  assert.ok(type?.kind === 'composite');
  assert.equal(type.fields.length, 19);
  assert.deepEqual(
    type.earlierFields.map((fields) => fields.length),
    [18, 17, 16, 15, 14, 13, 12, 11],
  );
});

test('a relation is described anew when a type of its columns has another name', () => {
  const registry = new RelationRegistry();
  registry.nameType({ id: CUSTOM, schema: 's', name: 'old' });
  const first = registry.describe(messageOf(CUSTOM));
  registry.nameType({ id: CUSTOM, schema: 's', name: 'old' });
  assert.equal(registry.describe(messageOf(CUSTOM)), first);
  registry.nameType({ id: CUSTOM, schema: 's', name: 'new' });
  const second = registry.describe(messageOf(CUSTOM));
  assert.notEqual(second, first);
  assert.equal(registry.describe(messageOf(CUSTOM)), second);
});
