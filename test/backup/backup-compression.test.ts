import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { whyNoCodec } from '../../src/backup/archive-codec.js';
import {
  type BackupCompression,
  compressionDetail,
  parseCompression,
  resolveCompression,
} from '../../src/backup/backup-compression.js';
import { resolveBackupOptions } from '../../src/backup/backup-options.js';
import { parseTarget } from '../../src/backup/backup-target.js';
import { checkCompression } from '../../src/backup/compression-rules.js';
import { ConfigurationError } from '../../src/errors.js';
import { findClientTool, needsClientTool, runTool } from '../support/client-tools.js';

const GOOD: readonly (readonly [string, BackupCompression])[] = [
  ['gzip', { method: 'gzip' }],
  ['server-gzip:5', { location: 'server', method: 'gzip', level: 5 }],
  ['client-gzip', { location: 'client', method: 'gzip' }],
  ['6', { method: 'gzip', level: 6 }],
  ['+3', { method: 'gzip', level: 3 }],
  ['-1', { method: 'gzip', level: -1 }],
  ['server-9', { location: 'server', method: 'gzip', level: 9 }],
  ['none', { method: 'none' }],
  ['client-none', { location: 'client', method: 'none' }],
  ['gzip:level=5,level=6', { method: 'gzip', level: 6 }],
  ['lz4:0', { method: 'lz4', level: 0 }],
  ['lz4:12', { method: 'lz4', level: 12 }],
  ['zstd:-5', { method: 'zstd', level: -5 }],
  ['zstd:level=22,workers=4', { method: 'zstd', level: 22, workers: 4 }],
  ['zstd:workers=0', { method: 'zstd', workers: 0 }],
];
/** What came after pg_basebackup 15. */
const LATER: readonly (readonly [string, BackupCompression])[] = [
  ['0', { method: 'none' }],
  ['zstd:long', { method: 'zstd', long: true }],
  ['server-zstd:long=off,level=1', { location: 'server', method: 'zstd', long: false, level: 1 }],
];
const BAD: readonly string[] = [
  '',
  'GZIP',
  'bzip2',
  'gzip ',
  'server-none:1',
  'none:1',
  'gzip:',
  'gzip:0',
  'gzip:10',
  'gzip:-2',
  'lz4:13',
  'zstd:23',
  'zstd:-131073',
  'gzip:level',
  'gzip:level=',
  'gzip:level=x',
  'gzip:5,level=5',
  'gzip:level=5,',
  'gzip:workers=2',
  'lz4:workers=2',
  'gzip:long',
  'zstd:long=maybe',
  'zstd:window=1',
  'zstd: level=1',
];

const isRefused = (option: string) => (error: unknown) =>
  error instanceof ConfigurationError && error.option === option && !error.message.includes('\n');

suite('the text of a compression', () => {
  for (const [text, compression] of [...GOOD, ...LATER]) {
    test(`${text} is taken`, () => assert.deepEqual(parseCompression(text), compression));
  }

  for (const text of BAD) {
    test(`${JSON.stringify(text)} is refused`, () => {
      assert.throws(() => parseCompression(text), isRefused('compression'));
    });
  }

  test('pg_basebackup takes and refuses the same', { skip: needsClientTool('pg_basebackup') }, async (t) => {
    const tool = findClientTool('pg_basebackup') ?? '';
    const verdict = async (text: string) => {
      // What is taken fails later, when it connects. What is for the server, the server judges.
      const detail = text.replace(/^(client|server)-/, '');
      const args = ['-D', '/nowhere/at/all', '-Ft', '-h', '/nowhere', '-Z', detail];
      return !/compression/.test((await runTool(tool, args)).stderr);
    };
    for (const [text] of GOOD) assert.equal(await verdict(text), true, text);
    for (const text of BAD) assert.equal(await verdict(text), false, text);
    t.diagnostic(`${GOOD.length + BAD.length} texts`);
  });
});

suite('a compression with everything decided', () => {
  test('where it happens, unless said', () => {
    assert.equal(resolveCompression('gzip', false)?.location, 'client');
    assert.equal(resolveCompression('gzip', true)?.location, 'server');
    assert.equal(resolveCompression('server-gzip', false)?.location, 'server');
    assert.equal(resolveCompression({ method: 'zstd' }, true)?.location, 'server');
    assert.equal(resolveCompression('none', false), undefined);
    assert.equal(resolveCompression(undefined, true), undefined);
  });

  test('the detail that the server gets', () => {
    for (const [text, detail] of [
      ['gzip', undefined],
      ['gzip:-1', undefined],
      ['lz4:0', undefined],
      ['gzip:5', 'level=5'],
      ['zstd:level=5,workers=2,long', 'level=5,workers=2,long'],
      ['zstd:long=no', undefined],
    ] as const) {
      const resolved = resolveCompression(text, false);
      assert.ok(resolved !== undefined);
      assert.equal(compressionDetail(resolved), detail, text);
    }
  });

  test('objects are looked at too', () => {
    const bad: readonly (readonly [string, unknown])[] = [
      ['compression', 7],
      ['compression', null],
      ['compression', { method: 'gzip', level: 10 }],
      ['compression', { method: 'gzip', level: 1.5 }],
      ['compression', { method: 'zstd', workers: -1 }],
      ['compression.method', { method: 'bzip2' }],
      ['compression.location', { method: 'gzip', location: 'here' }],
      ['compression.long', { method: 'zstd', long: 1 }],
      ['compression.levels', { method: 'gzip', levels: 1 }],
    ];
    for (const [option, given] of bad) {
      assert.throws(() => resolveCompression(given as BackupCompression, false), isRefused(option), option);
    }
  });
});

suite('what goes together', () => {
  const backup = { format: 'tar', hasTarget: false, generatesManifest: false, writeRecoveryConf: false } as const;
  const check = (text: string, change: Partial<Parameters<typeof checkCompression>[1]>) => {
    const resolved = resolveCompression(text, change.hasTarget ?? false);
    assert.ok(resolved !== undefined);
    checkCompression(resolved, { ...backup, ...change });
  };
  const readsZstd = whyNoCodec('zstd') === undefined;

  for (const [text, change] of [
    ['client-gzip', {}],
    ['server-gzip', { format: 'plain', writeRecoveryConf: true, generatesManifest: true }],
    ['server-lz4', {}],
    ['lz4', { hasTarget: true, generatesManifest: true }],
    ['client-gzip', { writeRecoveryConf: true, generatesManifest: true }],
    ...(readsZstd ? ([['server-zstd', { format: 'plain' }]] as const) : []),
  ] as const) {
    test(`${text}, ${JSON.stringify(change)}`, () => check(text, change));
  }

  for (const [text, change] of [
    ['gzip', { format: 'plain' }],
    ['client-gzip', { hasTarget: true }],
    ['client-lz4', {}],
    ['server-lz4', { format: 'plain' }],
    ['server-lz4', { generatesManifest: true }],
    ['server-gzip', { writeRecoveryConf: true }],
    ...(readsZstd
      ? []
      : ([
          ['client-zstd', {}],
          ['server-zstd', { format: 'plain' }],
        ] as const)),
  ] as const) {
    test(`not ${text}, ${JSON.stringify(change)}`, () => {
      assert.throws(() => check(text, change), isRefused('compression'));
    });
  }
});

suite('another target', () => {
  test('the text', () => {
    assert.equal(parseTarget(undefined), undefined);
    assert.equal(parseTarget('client'), undefined);
    assert.deepEqual(parseTarget('blackhole'), { name: 'blackhole', detail: undefined });
    assert.deepEqual(parseTarget('server:/a:b'), { name: 'server', detail: '/a:b' });
    assert.deepEqual(parseTarget('shell:x'), { name: 'shell', detail: 'x' });
    for (const text of ['', 'client:x', 'server', 'server:', 'blackhole:x', ':x', 'a\0', 7]) {
      assert.throws(() => parseTarget(text as string), isRefused('target'), String(text));
    }
  });

  test('options that say how a backup is written here', () => {
    const connection = 'postgresql://u@h/d';
    for (const [name, value] of [
      ['directory', '/d'],
      ['format', 'tar'],
      ['tablespaceMapping', {}],
      ['writeRecoveryConf', true],
    ] as const) {
      const options = { connection, target: 'blackhole', [name]: value };
      assert.throws(() => resolveBackupOptions(options), isRefused(name));
    }
    assert.throws(() => resolveBackupOptions({ connection }), isRefused('directory'));
    assert.equal(resolveBackupOptions({ connection, target: 'server:/x' }).target?.detail, '/x');
  });
});
