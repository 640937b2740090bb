import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { completionScript } from '../../src/cli/completion/completion-script.js';
import { describeCommands } from '../../src/cli/completion/completion-spec.js';
import { runToEnd } from './command-line.js';

type Shell = 'bash' | 'zsh' | 'fish';
const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish'];

const isMissing = (shell: Shell) => spawnSync(shell, ['-c', 'exit 0']).status !== 0 && `there is no ${shell} here`;

/** How each shell is asked what it would offer at the end of a line; what is offered is the first word of each line. */
const ASK: Readonly<Record<Shell, (script: string, words: readonly string[]) => string>> = {
  bash: (script, words) =>
    `${script}\nCOMP_WORDS=(pg-walstream ${quoted(words)}); COMP_CWORD=${words.length}; _pg_walstream; printf '%s\n' "\${COMPREPLY[@]}"`,
  // Its completion system works with a terminal only: what the script gives to that, by the prefix, as that would.
  zsh: (script, words) =>
    `compdef() {}; _files() {}; compadd() { shift; for each in "$@"; do [[ $each == "$words[CURRENT]"* ]] && print -r -- "$each"; done; true; }
    ${script}\nwords=(pg-walstream ${quoted(words)}); CURRENT=${words.length + 1}; _pg_walstream`,
  fish: (script, words) => `${script}\ncomplete -C 'pg-walstream ${words.join(' ')}'`,
};

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ');
}

/** What the shell offers at the end of this line; the last word is the one that is being typed. */
async function offered(shell: Shell, script: string, ...words: string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(shell, ['-c', ASK[shell](script, words)]);
  const lines = stdout.split('\n').map((line) => line.replace(/\t.*/, ''));
  return lines.filter((line) => line !== '').sort();
}

describe('completion', () => {
  for (const shell of SHELLS) {
    test(`${shell} offers what the program has`, { skip: isMissing(shell) }, async () => {
      const { code, stdout: script } = await runToEnd(['completion', shell]);
      assert.equal(code, 0);
      const offer = (...words: string[]) => offered(shell, script, ...words);
      // fish offers flags only when a word begins like one.
      const flags = shell === 'fish' ? [] : ['--help'];
      const help = (await runToEnd(['--help'])).stdout;
      const commands = Array.from(help.matchAll(/^ {2}([a-z]+) /gm), ([, name]) => name).filter(
        (name) => name !== 'help',
      );
      assert.ok(commands.length >= 6, help);
      assert.deepEqual(await offer(''), [...commands, ...flags, ...(shell === 'fish' ? [] : ['--version'])].sort());
      assert.deepEqual(await offer('slot', ''), [...flags, 'advance', 'create', 'drop', 'list']);
      assert.deepEqual(await offer('slot', 'dr'), ['drop']);
      assert.deepEqual(await offer('slot', 'create', '--re'), ['--reserve-wal']);
      assert.deepEqual(await offer('stream', '--slot', 's', '--format', ''), ['jsonl', 'pretty']);
      assert.deepEqual(await offer('completion', 'f'), ['fish']);
      assert.deepEqual(await offer('stream', '--max'), ['--max-events']);
      assert.deepEqual(await offer('basebackup', '-F', ''), ['plain', 'tar']);
      assert.deepEqual(await offer('basebackup', '--wal-method', 'f'), ['fetch']);
      assert.deepEqual(await offer('basebackup', '--progress', '--ch'), ['--checkpoint']);
      if (shell !== 'fish') assert.deepEqual(await offer('basebackup', '--progress', 'j'), ['json']);
    });

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
