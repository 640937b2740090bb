import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readPasswordFile } from '../../src/connection/password-file.js';

const posixOnly = process.platform === 'win32' && 'Windows has no file modes';

async function homeWith(t: TestContext, content: string): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'pg-walstream-pass-'));
  t.after(() => rm(home, { recursive: true, force: true }));
  await writeFile(join(home, '.pgpass'), content, { mode: 0o600 });
  return home;
}

function connection(host: string, port = 5432, database = 'd', user = 'u') {
  return { address: { host, port }, database, user };
}

test('the first line that matches, with wildcards and escapes', { skip: posixOnly }, async (t) => {
  const HOME = await homeWith(
    t,
    [
      '# comment',
      'h1:5432:d:u:one',
      '*:5433:*:u:two',
      String.raw`h\:2:*:d:u:a\:b\\c`,
      'localhost:*:*:u:local',
      '',
    ].join('\n'),
  );
  const password = async (...args: Parameters<typeof connection>) =>
    (await readPasswordFile(undefined, connection(...args), { HOME })).password;
  assert.equal(await password('h1'), 'one');
  assert.equal(await password('h1', 5433), 'two');
  assert.equal(await password('h:2'), String.raw`a:b\c`);
  assert.equal(await password('h1', 5432, 'other'), undefined);
  assert.equal(await password('/var/run/postgresql'), 'local');
  assert.equal(await password('h1', 5432, 'd', 'other'), undefined);
});

test('short lines, and passwords that are', { skip: posixOnly }, async (t) => {
  for (const [line, password] of [
    ['*:*:*:*:pw', 'pw'],
    ['*:*:*:*:p', 'p'],
    ['*:*:*:*: p', ' p'],
    ['*:*:*:*:p ', 'p '],
    ['*:*:*:*:p\\\\', 'p\\'],
    ['*:*:*:*:p\\', 'p\\'],
    ['*:*:*:*:\\:\r\n', ':'],
    ['h:*:d:u:pw', 'pw'],
    ['*:*:*:*:', undefined],
    ['*:*:*:*', undefined],
    ['*:*:*:', undefined],
    ['#:*:*:*:p', undefined],
    ['', undefined],
  ] as const) {
    const HOME = await homeWith(t, line);
    assert.equal(
      (await readPasswordFile(undefined, connection('h'), { HOME })).password,
      password,
      JSON.stringify(line),
    );
  }
});

test('a missing file is no matter; one that others can read is ignored, and the reason is told', async (t) => {
  const missing = await readPasswordFile('/nonexistent/pass', connection('h'));
  assert.deepEqual(missing, { password: undefined, ignored: undefined });
  if (posixOnly) return;
  const HOME = await homeWith(t, '*:*:*:*:secret');
  assert.equal((await readPasswordFile(undefined, connection('h'), { HOME })).password, 'secret');
  await chmod(join(HOME, '.pgpass'), 0o640);
  const open = await readPasswordFile(undefined, connection('h'), { HOME });
  assert.equal(open.password, undefined);
  assert.match(open.ignored ?? '', /others have access/);
  assert.match((await readPasswordFile(HOME, connection('h'))).ignored ?? '', /not a plain file/);
});
