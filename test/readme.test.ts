import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { WalStream } from '../src/index.js';
import { streamChannels } from '../src/stream/stream-channels.js';

const root = new URL('../../', import.meta.url);
const textOf = (path: string) => readFileSync(new URL(path, root), 'utf8');
const readme = textOf('README.md');

/** The chapter under a heading, up to the next one of any depth. */
function chapter(heading: string): string {
  const start = readme.indexOf(`\n${heading}\n`);
  assert.ok(start >= 0, `the README has the chapter ${heading}`);
  const rest = readme.slice(start + heading.length + 2);
  const end = rest.search(/^#+ /m);
  return end < 0 ? rest : rest.slice(0, end);
}

/** The members of an interface; Biome has indented the source. */
function membersOf(source: string, name: string): string[] {
  const body = new RegExp(`^export interface ${name} \\{\\n(.*?)^\\}`, 'ms').exec(source)?.[1] ?? '';
  const members = Array.from(body.matchAll(/^ {2}readonly (\w+)\??:/gm), ([, member = '']) => member);
  assert.ok(members.length > 0, `${name} is found, and has members`);
  return members;
}

/** What the first column of the table after `heading` names in code. */
function namesInTable(heading: string): string[] {
  const [, after = ''] = readme.split(heading);
  const lines = after.split('\n');
  const from = lines.findIndex((line) => line.startsWith('|'));
  const rows = lines.slice(
    from + 2,
    lines.findIndex((line, at) => at > from && !line.startsWith('|')),
  );
  return rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name as string));
}

describe('README.md', () => {
  const groups = readdirSync(new URL('src/options/', root)).map((name) => textOf(`src/options/${name}`));
  const options = [textOf('src/options.ts'), ...groups].join('\n');

  test('names every option of WalStream in its table', () => {
    const rows = chapter('### Options').split('\n');
    const named = rows.flatMap((row) =>
      Array.from((row.split('|')[1] ?? '').matchAll(/`(\w+)`/g), ([, name = '']) => name),
    );
    assert.deepEqual(named.sort(), membersOf(options, 'WalStreamOptions').sort());
  });

  test('names what the options that are objects hold', () => {
    for (const name of [
      'SlotOptions',
      'SpillOptions',
      'RetryOptions',
      'TransformOptions',
      'ValidateOptions',
      'StopOptions',
    ]) {
      for (const member of membersOf(options, name)) {
        assert.match(readme, new RegExp(`\\b${member}\\b`), `${name}.${member}`);
      }
    }
  });

  test('says of every error code what it is, and what to do', () => {
    const codes = Array.from(textOf('src/errors.ts').matchAll(/^ {2}\| '(ERR_\w+)'/gm), ([, code]) => code);
    assert.ok(codes.length > 0);
    const codesIn = (text: string) => [...new Set(text.match(/ERR_\w+/g))].sort();
    assert.deepEqual(codesIn(chapter('### Errors')), [...codes].sort());
    assert.deepEqual(codesIn(chapter('### Troubleshooting')), [...codes].sort());
  });

  test('names every command', () => {
    const commands = Array.from(
      textOf('src/cli/program.ts').matchAll(/program\.addCommand\((\w+)Program\(/g),
      ([, name]) => name,
    );
    assert.ok(commands.length > 3);
    for (const name of commands) assert.match(readme, new RegExp(`pg-walstream ${name?.toLowerCase()}\\b`), name);
  });
});

describe('README.md explains', () => {
  test('every figure of stats(), and none that is not there', () => {
    const stream = new WalStream({ connection: 'postgresql://h', slot: 's', publications: 'p' });
    assert.deepEqual(namesInTable('`stream.stats()` gives').sort(), Object.keys(stream.stats()).sort());
  });

  test('every channel, and none that is not there', () => {
    const channels = Object.values(streamChannels).map(({ name }) => String(name));
    assert.deepEqual(namesInTable('**Channels** of').sort(), channels.sort());
  });
});

for (const file of ['README.md', 'examples/README.md', 'bench/README.md']) {
  test(`the links of ${file} lead somewhere`, () => {
    const text = textOf(file);
    const anchors = new Set(
      Array.from(
        text.matchAll(/^#+ (.*)$/gm),
        ([, heading = '']) =>
          `#${heading
            .toLowerCase()
            .replaceAll(/[^\w\- ]/g, '')
            .replaceAll(' ', '-')}`,
      ),
    );
    for (const [, target = ''] of text.matchAll(/\]\(([^)]+)\)/g)) {
      if (target.startsWith('#')) assert.ok(anchors.has(target), target);
      else if (!/^https?:/.test(target)) {
        assert.ok(existsSync(new URL(target.replace(/#.*/, ''), new URL(file, root))), target);
      }
    }
  });
}

test('examples/README.md walks through every example', () => {
  const text = textOf('examples/README.md');
  const names = Array.from(text.matchAll(/^\| \[([\w-]+)\]\(\1\.ts\)/gm), ([, name = '']) => name);
  for (const name of names) assert.ok(text.includes(`\n## ${name}\n`), name);
  // Which examples there are, the test of all of them says.
  const listed = /const SHOWN[^{]*\{(.*?)^\};/ms.exec(textOf('test/examples/embedded.pg.test.ts'))?.[1] ?? '';
  assert.deepEqual(names.sort(), Array.from(listed.matchAll(/^ {2}'([\w-]+)':/gm), ([, name = '']) => name).sort());
});
