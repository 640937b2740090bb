import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { completionScript } from '../../src/cli/completion/completion-script.js';
import { describeCommands } from '../../src/cli/completion/completion-spec.js';
import { runToEnd } from './command-line.js';

const hasBash = spawnSync('bash', ['-c', 'exit 0']).status === 0;

/** What bash offers at the end of this line; the last word is the one that is being typed. */
async function offered(script: string, ...words: string[]): Promise<string[]> {
  const set = words.map((word) => `'${word}'`).join(' ');
  const { stdout } = await promisify(execFile)('bash', [
    '-c',
    `${script}\nCOMP_WORDS=(pg-walstream ${set}); COMP_CWORD=${words.length}; _pg_walstream; echo "\${COMPREPLY[@]}"`,
  ]);
  return stdout.trim().split(' ');
}

describe('completion', () => {
  test('bash offers what the program has', { skip: !hasBash && 'there is no bash here' }, async () => {
    const { code, stdout: script } = await runToEnd(['completion', 'bash']);
    assert.equal(code, 0);
    const help = (await runToEnd(['--help'])).stdout;
    const commands = Array.from(help.matchAll(/^ {2}([a-z]+) /gm), ([, name]) => name).filter(
      (name) => name !== 'help',
    );
    assert.ok(commands.length >= 6, help);
    assert.deepEqual(await offered(script, ''), [...commands, '--version', '--help']);
    assert.deepEqual(await offered(script, 'slot', ''), ['list', 'create', 'drop', 'advance', '--help']);
    assert.deepEqual(await offered(script, 'slot', 'dr'), ['drop']);
    assert.deepEqual(await offered(script, 'slot', 'create', '--re'), ['--reserve-wal']);
    assert.deepEqual(await offered(script, 'stream', '--slot', 's', '--format', ''), ['pretty', 'jsonl']);
    assert.deepEqual(await offered(script, 'stream', '--slot', ''), ['']);
    assert.deepEqual(await offered(script, 'completion', 'f'), ['fish']);
    assert.deepEqual(await offered(script, 'stream', '--max'), ['--max-events']);
  });

  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    test(`${shell}: every command and flag is named`, async () => {
      const { code, stdout, stderr } = await runToEnd(['completion', shell]);
      assert.deepEqual([code, stderr], [0, '']);
      for (const word of ['stream', 'slot advance', 'jsonl', 'max-events', 'physical']) {
        assert.ok(stdout.includes(word), word);
      }
    });
  }

  test('descriptions of any kind do no harm', () => {
    const program = new Command('p').description('x');
    program.command('c').description(`it's a \\ "test" $(of) quotes`);
    const script = completionScript('fish', describeCommands(program));
    assert.ok(script.includes(`-a c -d 'it\\'s a \\\\ "test" $(of) quotes'`), script);
  });

  test('another shell is wrong usage', async () => {
    const { code, stderr } = await runToEnd(['completion', 'csh']);
    assert.equal(code, 2);
    assert.match(stderr, /^pg-walstream: [^\n]*csh[^\n]*bash, zsh, fish[^\n]*\n$/);
  });
});
