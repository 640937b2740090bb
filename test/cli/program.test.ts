import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Run, runToEnd } from './command-line.js';

test('--version says the version of the package', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../../package.json', import.meta.url), 'utf8'));
  assert.deepEqual(await runToEnd(['--version']), { code: 0, signal: null, stdout: `${version}\n`, stderr: '' });
});

for (const [args, shown] of [
  [['--help'], /Commands:\n {2}stream .*Examples:.*pg-walstream demo.*Exit codes/s],
  [['stream', '--help'], /--slot <name>.*--publication <name>.*--max-events <n>.*Examples:/s],
  [['types', '--help'], /--publication <name>.*--schema <name>.*--types <mode>.*Examples:/s],
  [['slot', '--help'], /list .*create .*drop .*advance .*Examples:/s],
  [['publication', 'create', '--help'], /--all-tables.*--table <schema.table>/s],
  [['doctor', '--help'], /--slot <name>.*Exit code.*Examples:/s],
  [['completion', '--help'], /bash, zsh or fish.*Examples:/s],
  [
    ['basebackup', '--help'],
    /--pgdata <directory>.*--target <.*--format <plain\|tar>.*--incremental <.*--compress <.*--gzip.*--no-slot.*Examples:/s,
  ],
  [['verifybackup', '--help'], /<directory>.*--exit-on-error.*--no-parse-wal.*--format <plain\|tar>.*Examples:/s],
  [['receivewal', '--help'], /--directory <path>.*--synchronous.*--endpos <lsn>.*Examples:/s],
  [['demo', '--help'], /--seconds <n>.*\(default: 15\).*DATABASE_URL/s],
] as const) {
  test(`${args.join(' ')} shows what there is`, async () => {
    const { code, stdout, stderr } = await runToEnd(args);
    assert.equal(code, 0);
    assert.match(stdout, shown);
    assert.equal(stderr, '');
  });
}

test('without a command the help goes to stderr', async () => {
  const { code, stdout, stderr } = await runToEnd([]);
  assert.equal(code, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^Usage: pg-walstream/);
});

describe('help and the version are written as everything is', { skip: process.platform === 'win32' && 'no sh' }, () => {
  for (const flag of ['--help', '--version']) {
    test(`${flag}: a reader that has gone is no failure`, async () => {
      await using run = new Run([flag], {}, { readStdout: false });
      run.child.stdout.destroy();
      const { code, stderr } = await run.ended;
      assert.deepEqual([code, stderr], [0, '']);
    });

    test(`${flag}: a full disk is one line`, {
      skip: !existsSync('/dev/full') && 'there is no /dev/full',
    }, async () => {
      const { code, stderr } = await runToEnd([flag], {}, { stdoutFile: '/dev/full' });
      assert.equal(code, 1);
      assert.match(stderr, /^pg-walstream: the output cannot be written: ENOSPC[^\n]*\n$/);
    });
  }
});

describe('wrong usage: one line on stderr, exit code 2', () => {
  const stream = ['stream', '--slot', 's', '--publication', 'p'];
  for (const [args, line] of [
    [['strem'], "pg-walstream: unknown command 'strem' (Did you mean stream?)"],
    [[...stream, '--fast'], "pg-walstream: unknown option '--fast'"],
    [[...stream, 'more'], "pg-walstream: too many arguments for 'stream': 'more'"],
    [['stream', 'more'], "pg-walstream: too many arguments for 'stream': 'more'"],
    [['stream', '--slt', 's'], "pg-walstream: unknown option '--slt' (Did you mean --slot?)"],
    [
      [...stream, '--slot', 'S-1'],
      /'-S, --slot <name>' argument 'S-1' is invalid. Expected 1 to 63 lower-case letters, digits and underscores/,
    ],
    [[...stream, '--record', 'f', '--transactions'], /'--record <file>' cannot be used with option '--transactions'/],
    [[...stream, '--dsn', 's3cret'], /^pg-walstream: --dsn: not a connection string: expected/],
    [[...stream, '--dsn', 'postgres://h/d?sslmode=maybe'], /^pg-walstream: --dsn: sslmode: must be one of/],
    [['stream', '--publication', 'p'], "pg-walstream: required option '-S, --slot <name>' not specified"],
    [['stream', '--slot', 's'], "pg-walstream: required option '--publication <name>' not specified"],
    [
      [...stream, '--format', 'xml'],
      /'--format <format>' argument 'xml' is invalid. Allowed choices are pretty, jsonl/,
    ],
    [[...stream, '--start-lsn', '12'], /'--start-lsn <lsn>' argument '12' is invalid. Expected a position X\/Y/],
    [[...stream, '--stop-lsn', '0/g'], /'--stop-lsn <lsn>' argument '0\/g' is invalid/],
    [[...stream, '--max-events', '0'], /'--max-events <n>' argument '0' is invalid. Expected a whole number from 1/],
    [[...stream, '--max-events', '1e3'], /'--max-events <n>' argument '1e3' is invalid/],
    [[...stream, '--table', 'orders'], /'--table <schema.table>' argument 'orders' is invalid. Expected schema.table/],
    [['types'], 'pg-walstream: which tables? Name a --publication, a --schema or a --table'],
    [
      ['types', '--schema', 's', '--types', 'json'],
      /argument 'json' is invalid. Allowed choices are lossless, pg, text/,
    ],
    [['slot', 'list', 'more'], "pg-walstream: too many arguments for 'list': 'more'"],
    [['slot', 'create', 'Bad-Name'], /'Bad-Name' is invalid for argument 'name'. Expected 1 to 63 lower-case/],
    [['slot', 'drop', 's', '--wait', '2147484'], /Expected a whole number from 1 to 2147483/],
    [['slot', 'create'], "pg-walstream: missing required argument 'name'"],
    [['slot', 'create', 's', '--physical', '--failover'], 'pg-walstream: --failover does not go with --physical'],
    [['slot', 'create', 's', '--reserve-wal'], 'pg-walstream: --reserve-wal does not go with a logical slot'],
    [['slot', 'advance', 's', 'end'], /value 'end' is invalid for argument 'lsn'. Expected a position X\/Y/],
    [['slot', 'move'], "pg-walstream: unknown command 'move'"],
    [
      ['publication', 'create', 'p'],
      /^pg-walstream: a publication of nothing: give --table, --schema or --all-tables$/m,
    ],
    [['publication', 'create', 'p', '--table', 'a'], /Expected schema\.table/],
    [
      ['publication', 'create', 'p', '--publish', 'select', '--all-tables'],
      /Expected insert, update, delete or truncate/,
    ],
    [['publication', 'create', 'p', '--all-tables', '--schema', 's'], /--all-tables.* cannot be used with .*--schema/],
    [['doctor', '--slot', 'Bad-Name'], /'-S, --slot <name>' argument 'Bad-Name' is invalid/],
    [['doctor', '--format', 'xml'], /Allowed choices are pretty, jsonl/],
    [['basebackup'], "pg-walstream: either '-D, --pgdata <directory>' or '-t, --target <target>' must be given"],
    [
      ['basebackup', '-D', 'd', '-t', 'blackhole'],
      'pg-walstream: -D, --pgdata does not go with -t, --target blackhole: the backup is not written here',
    ],
    [['basebackup', '-F', 'tar', '-t', 'blackhole'], /-F, --format does not go with -t, --target blackhole/],
    [['basebackup', '-T', '/a=/b', '-t', 'server:/x'], /-T, --tablespace-mapping does not go with -t, --target server/],
    [['basebackup', '-R', '-t', 'blackhole'], /-R, --write-recovery-conf does not go with -t, --target blackhole/],
    [['basebackup', '-t', 'client'], 'pg-walstream: -t, --target client needs -D, --pgdata <directory>'],
    [['basebackup', '-t', 'server'], "pg-walstream: -t, --target needs a folder on the server: 'server:/path'"],
    [
      ['basebackup', '-D', 'd', '-Z', 'bzip2'],
      /-Z, --compress: there is no method "bzip2"; only gzip, lz4, zstd and none/,
    ],
    [['basebackup', '-D', 'd', '-Z', 'gzip:10'], 'pg-walstream: -Z, --compress: gzip has levels from 1 to 9'],
    [['basebackup', '-D', 'd', '-z'], /-Z, --compress: the client compresses in tar format only/],
    [['basebackup', '-D', 'd', '-z', '-Z', 'zstd'], /'-z, --gzip' cannot be used with option '-Z, --compress/],
    [
      ['basebackup', '-D', 'd', '-Z', 'server-lz4'],
      /what the server sends in lz4 cannot be extracted: Node.js has no lz4/,
    ],
    [['basebackup', '-D', 'd', '-F', 'tar', '-Z', 'lz4'], /the client cannot compress with lz4: Node.js has no lz4/],
    [['basebackup', '-t', 'blackhole', '-Z', 'client-gzip'], /the client cannot compress what goes to another target/],
    [
      ['basebackup', '-t', 'blackhole', '-X', 'stream'],
      /-X, --wal-method must be 'fetch' or 'none' with another target/,
    ],
    [['basebackup', '-D', 'd', '-X', 'x'], /argument 'x' is invalid. Expected stream \(s\), fetch \(f\), none \(n\)/],
    [['basebackup', '-D', 'd', '-F', 'zip'], /argument 'zip' is invalid. Expected plain \(p\), tar \(t\)/],
    [['basebackup', '-D', 'd', '-C'], 'pg-walstream: --create-slot needs --slot, which names it'],
    [['receivewal', '-D', 'd', '--create-slot'], 'pg-walstream: --create-slot needs --slot, which names it'],
    [['basebackup', '-D', '-', '-Ft'], /-D, --pgdata must be a folder: no archive is written to standard output/],
    [
      ['basebackup', '-D', 'd', '-S', 's', '--no-slot'],
      'pg-walstream: --no-slot goes with neither --slot nor --create-slot',
    ],
    [
      ['basebackup', '-D', 'd', '-C', '--no-slot'],
      'pg-walstream: --no-slot goes with neither --slot nor --create-slot',
    ],
    [['basebackup', '-D', 'd', '-S', 's', '-Xf'], 'pg-walstream: --slot needs --wal-method=stream'],
    [['basebackup', '-D', 'd', '--progress=xml'], /argument 'xml' is invalid. Allowed choices are line, json/],
    [['basebackup', '-D', 'd', '-r', '31'], /argument '31' is invalid. Expected kB per second from 32/],
    [['basebackup', '-D', 'd', '-T', 'a=b'], /argument 'a=b' is invalid. Expected OLD=NEW, both absolute paths/],
    [
      ['basebackup', '-D', 'd', '--no-manifest', '--manifest-force-encode'],
      /cannot be used with option '--no-manifest'/,
    ],
    [['verifybackup'], "pg-walstream: missing required argument 'directory'"],
    [['verifybackup', 'd', '--format', 'zip'], /Expected plain \(p\), tar \(t\)/],
    [['receivewal'], "pg-walstream: required option '-D, --directory <path>' not specified"],
    [['receivewal', '-D', 'd', '--endpos', '1'], /'-E, --endpos <lsn>' argument '1' is invalid/],
    [['basebackup', '-D', 'd', '-S', 'Bad-Name'], /'-S, --slot <name>' argument 'Bad-Name' is invalid/],
    [['receivewal', '-D', 'd', '-S', 'Bad-Name'], /'-S, --slot <name>' argument 'Bad-Name' is invalid/],
    [['demo', '--seconds', 'x'], /'--seconds <n>' argument 'x' is invalid/],
    [['demo', '--seconds', '3000000'], /'3000000' is invalid. Expected a whole number from 1 to 2147483/],
    [['demo', '--writers', '1000'], /'--writers <n>' argument '1000' is invalid. Expected a whole number from 1 to 24/],
    [['demo', '--workers', '100'], /'--workers <n>' argument '100' is invalid. Expected a whole number from 1 to 64/],
    [['demo', '--publication', 'p'], /^pg-walstream: --publication needs DATABASE_URL/],
  ] as const) {
    test(args.join(' '), async () => {
      const { code, stdout, stderr } = await runToEnd(args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      if (typeof line === 'string') assert.equal(stderr, `${line}\n`);
      else assert.match(stderr, line);
      assert.match(stderr, /^pg-walstream: [^\n]+\n$/);
      assert.doesNotMatch(stderr, /s3cret/);
    });
  }
});

describe('what the library does not take: one line on stderr that names the option, exit code 1', () => {
  for (const [args, named, url] of [
    [['--slot', 's', '--publication', ''], /publications/],
    [['--slot', 's', '--publication', 'p', '--dsn', 'postgres://u:s3cret@127.0.0.1:1/db'], /127\.0\.0\.1:1/],
    [['--slot', 's', '--publication', 'p'], /DATABASE_URL.sslmode: /, 'postgres://u:s3cret@host/db?sslmode=maybe'],
    [['--slot', 's', '--publication', 'p'], /DATABASE_URL: not a connection string/, 's3cret'],
  ] as const) {
    test([...args, url].join(' '), async () => {
      const env = url === undefined ? {} : { DATABASE_URL: url };
      const { code, stdout, stderr } = await runToEnd(['stream', ...args], env);
      assert.equal(code, 1);
      assert.equal(stdout, '');
      assert.match(stderr, /^pg-walstream: [^\n]+\n$/);
      assert.match(stderr, named);
      assert.doesNotMatch(stderr, /s3cret|\.js:/);
    });
  }
});

test('demo with DATABASE_URL: what is wrong with it, and --writers is not for it', async () => {
  const wrong = await runToEnd(['demo'], { DATABASE_URL: 's3cret' });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /^pg-walstream: DATABASE_URL: not a connection string[^\n]*\n$/);
  const writers = await runToEnd(['demo', '--writers', '2'], { DATABASE_URL: 'postgres://127.0.0.1:1/d' });
  assert.equal(writers.code, 2);
  assert.match(writers.stderr, /^pg-walstream: --writers does not go with DATABASE_URL[^\n]*\n$/);
});

test('help loads nothing but commander: whatever a command needs, it loads itself', async () => {
  const loaded = new Set<string>();
  const visit = async (file: URL): Promise<void> => {
    if (loaded.has(file.href)) return;
    loaded.add(file.href);
    for (const [, specifier = ''] of (await readFile(file, 'utf8')).matchAll(/^(?:import|export) .*from '(.+)';$/gm)) {
      if (specifier.startsWith('.')) await visit(new URL(specifier, file));
      else if (!specifier.startsWith('node:')) loaded.add(specifier);
    }
  };
  await visit(new URL('../../src/cli/main.js', import.meta.url));
  const packages = [...loaded].filter((name) => !name.startsWith('file:'));
  assert.deepEqual(packages, ['commander']);
  assert.ok(![...loaded].some((name) => name.endsWith('/src/index.js')), 'the library is not loaded');
});
