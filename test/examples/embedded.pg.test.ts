import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { processesNaming } from '../cli/command-line.js';
import { until } from '../stream/source.js';
import { runExample } from './example.js';

const FOLDER = fileURLToPath(new URL('../../../examples/', import.meta.url));

/** What each example shows when it has come to something. */
const SHOWN: Readonly<Record<string, RegExp>> = {
  'basic-streaming': /^commit \d+ at/m,
  'cache-mirror': /^\d+ rows at/m,
  'outbox-relay': /^[\dA-F]+\/[\dA-F]+ \{"order"/m,
  'pg-basebackup': /^done: /m,
  'polling-example': /^update public\.orders/m,
  'rate-limited-streaming': /^stats: /m,
  'raw-messages': /public\.orders \d+ \(\d+ bytes\)/,
  'safe-transaction-consumer': /^stats: [1-9]/m,
  'server-sent-events': /^listening/m,
  'worker-transform': /^\{"kind":"insert".*"customer":"[\da-f]{16}"/m,
};

suite('examples without a DATABASE_URL', () => {
  let temporary: string;
  before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'examples-'));
    // As root, another user's server is to come here.
    await chmod(temporary, 0o755);
  });
  after(() => rm(temporary, { recursive: true }));

  test('all of them are here', () => {
    const names = readdirSync(FOLDER)
      .filter((file) => file.endsWith('.ts'))
      .map((file) => file.replace(/\.ts$/, ''));
    assert.deepEqual(
      names.filter((name) => name !== 'run'),
      Object.keys(SHOWN).sort(),
    );
  });

  for (const [name, shown] of Object.entries(SHOWN)) {
    test(`${name} shows something on a server of its own, and leaves nothing behind`, async () => {
      await using run = runExample(name, undefined, {
        env: {
          STATS_INTERVAL_MS: '500',
          TMPDIR: temporary,
          PORT: '0',
          PGHOST: 'elsewhere.invalid',
          BACKUP_DIRECTORY: join(temporary, 'backup'),
        },
      });
      await run.shows(shown);
      run.child.kill('SIGINT');
      const { code, stdout, stderr } = await run.ended;
      assert.equal(code, 0, stderr);
      assert.match(stderr, /^no DATABASE_URL: starting an embedded PostgreSQL with a small writer\n(stopped.*\n)?$/);
      assert.match(stdout + stderr, /^(stopped|done)/m);
      const servers = (await readdir(temporary)).filter((entry) => entry.startsWith('pgw-'));
      assert.deepEqual(servers, []);
      await until(async () => (await processesNaming(`${temporary}/pgw-`)).length === 0, 'its server has ended');
    });
  }

  for (const [name, exitCode] of [
    ['basic-streaming', 0],
    ['cache-mirror', 0],
    ['safe-transaction-consumer', 0],
    ['pg-basebackup', 1],
  ] as const) {
    test(`${name} ends in good order at SIGTERM while its server starts`, async () => {
      const directory = join(temporary, 'never');
      await using run = runExample(name, undefined, {
        env: { TMPDIR: temporary, PORT: '0', BACKUP_DIRECTORY: directory },
      });
      await run.shows(/^no DATABASE_URL/m);
      run.child.kill('SIGTERM');
      const { code, signal, stdout, stderr } = await run.ended;
      assert.deepEqual([code, signal], [exitCode, null], stderr);
      assert.match(stdout + stderr, /^(stopped|interrupted)/m);
      assert.equal(existsSync(directory), false);
      await until(async () => (await processesNaming(`${temporary}/pgw-`)).length === 0, 'its server has ended');
    });
  }

  test('an example that there is not is wrong usage; the line names those that there are', async () => {
    await using run = runExample('nothing', undefined);
    const { code, stderr } = await run.ended;
    assert.equal(code, 2);
    assert.equal(stderr, `there is no example nothing: npm run example ${Object.keys(SHOWN).sort().join(' | ')}\n`);
  });
});
