import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveLine } from '../../src/cli/live-line.js';
import { paletteFor } from '../../src/cli/palette.js';

function fakeStream(isTTY: boolean, columns = 10) {
  const written: string[] = [];
  const write = (text: string | Uint8Array): boolean => written.push(String(text)) > 0;
  return { isTTY, columns, write, written };
}

test('on a terminal the line is rewritten and never wraps', () => {
  const stream = fakeStream(true);
  const live = new LiveLine(stream, {});
  live.end();
  live.show('0123456789abc');
  live.show('short');
  live.end();
  live.show('again');
  live.end('clear');
  live.end();
  assert.deepEqual(stream.written, [
    '\r\u001b[2K012345678',
    '\r\u001b[2Kshort',
    '\n',
    '\r\u001b[2Kagain',
    '\r\u001b[2K',
  ]);
});

test('a coloured line is cut between its visible characters, and its colour ends', () => {
  const stream = fakeStream(true);
  new LiveLine(stream, {}).show('\u001b[2m0123\u001b[22m56789abc');
  assert.deepEqual(stream.written, ['\r\u001b[2K\u001b[2m0123\u001b[22m56789']);
});

test('elsewhere each is a line of its own', () => {
  for (const [isTTY, env] of [
    [false, {}],
    [true, { TERM: 'dumb' }],
  ] as const) {
    const stream = fakeStream(isTTY);
    const live = new LiveLine(stream, env);
    live.show('0123456789abc');
    live.end();
    assert.deepEqual(stream.written, ['0123456789abc\n']);
  }
});

test('where lines stay they come at once, then after 30 s or 10 %', () => {
  const live = new LiveLine(fakeStream(false), {});
  const asked = [
    [0, 0, true],
    [5, 1_000, false],
    [12, 2_000, true],
    [19, 3_000, false],
    [19, 31_999, false],
    [19, 32_000, true],
    [55, 33_000, true],
    [100, 34_000, true],
    [100, 35_000, false],
  ] as const;
  for (const [percent, atMs, due] of asked) assert.equal(live.isDue(percent, atMs), due, `${percent} % at ${atMs} ms`);
  const withoutPercents = new LiveLine(fakeStream(false), {});
  assert.deepEqual(
    [0, 1_000, 30_000, 31_000].map((atMs) => withoutPercents.isDue(undefined, atMs)),
    [true, false, true, false],
  );
  const onTerminal = new LiveLine(fakeStream(true), {});
  assert.ok(onTerminal.isDue(0, 0) && onTerminal.isDue(0, 1));
});

test('colours are for terminals whose user wants them', () => {
  const red = (isTTY: boolean, env: NodeJS.ProcessEnv) => paletteFor({ isTTY }, env).red('x');
  assert.equal(red(true, {}), '\u001b[31mx\u001b[39m');
  assert.equal(red(true, { NO_COLOR: '' }), '\u001b[31mx\u001b[39m');
  assert.equal(red(true, { NO_COLOR: '1' }), 'x');
  assert.equal(red(true, { TERM: 'dumb' }), 'x');
  assert.equal(red(false, {}), 'x');
});
