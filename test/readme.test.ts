import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { WalStream } from '../src/index.js';
import { streamChannels } from '../src/stream/stream-channels.js';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** What the first column of the table after `heading` names in code. */
function namesInTable(heading: string): string[] {
  const [, after = ''] = README.split(heading);
  const lines = after.split('\n');
  const from = lines.findIndex((line) => line.startsWith('|'));
  const rows = lines.slice(
    from + 2,
    lines.findIndex((line, at) => at > from && !line.startsWith('|')),
  );
  return rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name as string));
}

suite('the README explains', () => {
  test('every figure of stats(), and none that is not there', () => {
    const stream = new WalStream({ connection: 'postgresql://h', slot: 's', publications: 'p' });
    assert.deepEqual(namesInTable('`stream.stats()` gives').sort(), Object.keys(stream.stats()).sort());
  });

  test('every channel, and none that is not there', () => {
    const channels = Object.values(streamChannels).map(({ name }) => String(name));
    assert.deepEqual(namesInTable('**Channels** of').sort(), channels.sort());
  });
});
