import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The repository; this file is dist/test/architecture.test.js in it. */
const repository = fileURLToPath(new URL('../../', import.meta.url));
const cruiser = join(repository, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
const sourceFolders = ['src', 'workers', 'examples'];

interface Layer {
  readonly imports: readonly string[];
  readonly packages: readonly string[];
  readonly builtins: readonly string[] | 'any';
}

const layers: Readonly<Record<string, Layer>> = JSON.parse(
  await readFile(join(repository, 'test/architecture/layers.json'), 'utf8'),
);

test('the arrows of the table point one way', () => {
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    assert.ok(!path.includes(name), `a cycle of layers: ${[...path, name].join(' -> ')}`);
    const layer = layers[name];
    assert.ok(layer !== undefined, `there is no layer ${name}`);
    if (done.has(name)) return;
    done.add(name);
    for (const next of layer.imports) visit(next, [...path, name]);
  };
  for (const name of Object.keys(layers)) visit(name, []);
});

describe('what was built', () => {
  test('keeps the import directions', async () => {
    const { modules, violations } = await cruise(repository);
    const sources = (await listFiles(repository, sourceFolders)).filter((path) => !path.endsWith('.d.ts'));
    assert.ok(sources.length > 0);
    const built = new Set(sources.map((path) => `dist/${path.replace(/\.(c?)ts$/, '.$1js')}`));
    for (const file of built) assert.ok(modules.has(file), `dependency-cruiser has not read ${file}`);
    assert.deepEqual(violations, []);
  });

  test('planted violations are found', async () => {
    const planted: Record<string, { source: string; rule: string }> = {
      'src/protocol/planted.js': { source: "import '../stream/planted.js';", rule: 'protocol: layers' },
      'src/protocol/planted-net.js': { source: "import 'node:net';", rule: 'protocol: builtins' },
      'src/pgoutput/planted.js': { source: "import 'node:worker_threads';", rule: 'pgoutput: builtins' },
      'src/types/planted.js': { source: "export * from 'fs';", rule: 'types: builtins' },
      'src/types/planted-pgoutput.js': { source: "import '../pgoutput/planted.js';", rule: 'types: layers' },
      'src/connection/planted.js': { source: "import 'piscina';", rule: 'connection: packages' },
      'src/connection/planted-pg.js': { source: "await import('pg');", rule: 'connection: packages' },
      'src/threads/planted.js': { source: "import '../connection/planted.js';", rule: 'threads: layers' },
      'src/stream/planted.js': { source: "import 'pg-protocol';", rule: 'stream: packages' },
      'src/catalog/planted.js': { source: "import 'not-installed';", rule: 'catalog: packages' },
      'src/catalog/planted-stream.js': { source: "import '../stream/planted.js';", rule: 'catalog: layers' },
      'src/stream/planted-missing.js': { source: "import './nowhere.js';", rule: 'no missing modules' },
      'src/elsewhere/planted.js': { source: "import '../errors.js';", rule: 'no unknown layers' },
      'src/lsn/planted.js': { source: "import './planted.js';", rule: 'no cycles' },
      'examples/planted.js': { source: "import '../src/stream/planted.js';", rule: 'examples: layers' },
      'examples/planted-pg.js': { source: "import 'pg';", rule: 'examples: packages' },
      'src/testing/planted.js': { source: "import '../connection/planted.js';", rule: 'testing: layers' },
      'src/cli/planted-testing.js': { source: "import '../testing/planted.js';", rule: 'cli: layers' },
      'src/cli/planted.js': { source: "import '../../examples/planted.js';", rule: 'cli: layers' },
      'workers/planted.js': { source: "import '../src/connection/planted.js';", rule: 'workers: layers' },
      'workers/planted-stream.js': { source: "export * from '../src/stream/planted.js';", rule: 'workers: layers' },
    };
    const copy = await mkdtemp(join(tmpdir(), 'architecture-'));
    try {
      for (const folder of sourceFolders) {
        await cp(join(repository, 'dist', folder), join(copy, 'dist', folder), { recursive: true });
      }
      await cp(join(repository, 'test/architecture'), join(copy, 'test/architecture'), { recursive: true });
      await cp(join(repository, '.dependency-cruiser.cjs'), join(copy, '.dependency-cruiser.cjs'));
      await cp(join(repository, 'package.json'), join(copy, 'package.json'));
      await symlink(join(repository, 'node_modules'), join(copy, 'node_modules'), 'junction');
      for (const [path, { source }] of Object.entries(planted)) await write(join(copy, 'dist', path), source);

      const { violations } = await cruise(copy);
      for (const [path, { rule }] of Object.entries(planted)) {
        assert.ok(
          violations.some((violation) => violation.from === `dist/${path}` && violation.rule === rule),
          `${path} breaks '${rule}' and was not found`,
        );
      }
    } finally {
      await rm(copy, { recursive: true });
    }
  });
});

describe('the sources, type-only imports included', () => {
  test('keep the import directions', async () => {
    const { imports, violations } = await scanSources(repository);
    assert.ok(imports > 0);
    assert.deepEqual(violations, []);
  });

  test('every form of an import is read, and nothing else', () => {
    const imports = [
      "import 'bare';",
      "import one from 'default';",
      "import one, { two } from 'both';",
      "import * as three from 'namespace';",
      "import type { Four } from 'type';",
      "import {\n  type Five,\n  six,\n} from 'lines';",
      "export * from 'all';",
      "export * as seven from 'all as one';",
      "export type { Eight } from 'exported type';",
      'import nine from "quotes";',
    ];
    const calls = [
      "  type Ten = import('import type').Ten;",
      "  const eleven = await import('dynamic');",
      "  const twelve = require('required');",
      "  return require.resolve('resolved');",
    ];
    const others = [
      "program.requiredOption('-S, --slot <name>', 'replication slot')",
      "const LOST = { streaming: 'connection lost while streaming from',\n  query: 'connection lost' };",
      "const from = Buffer.from('text');",
      "throw new Error('nothing to import from', 'elsewhere');",
      "// import 'comment';",
      "/** import('documentation') */",
      "/*\n * from 'remarks'\n */",
      "const glob = 'src/**'; /* import */",
    ];
    const names = (sources: readonly string[]) => sources.flatMap(specifiersOf);
    assert.deepEqual(names([...imports, ...calls]).length, imports.length + calls.length);
    assert.deepEqual(names(others), []);
    const all = [...imports, ...others, ...calls];
    assert.deepEqual(specifiersOf(all.join('\n')).sort(), names(all).sort());
  });

  test('planted violations are found', async () => {
    const planted: Record<string, string> = {
      'src/protocol/planted.ts': "import type { Socket } from 'node:net';",
      'src/types/planted.ts': "export type { Planted } from '../pgoutput/planted.js';",
      'src/pgoutput/planted.ts': "import {\n  type Planted,\n} from '../connection/planted.js';",
      'src/stream/planted.ts': "type Message = import('pg-protocol').BackendMessage;",
      'src/catalog/planted.ts': "import type Piscina from 'piscina';",
      'src/stream/planted-require.ts':
        "const pg = createRequire(import.meta.url);\nexport const found = require('pg');",
      'src/elsewhere/planted.ts': "import type { Planted } from '../errors.js';",
      'workers/planted.ts': "import type { Planted } from '../src/stream/planted.js';",
      'examples/planted.ts': "import type { WalStream } from '../src/index.js';",
    };
    const copy = await mkdtemp(join(tmpdir(), 'architecture-'));
    try {
      for (const [path, source] of Object.entries(planted)) await write(join(copy, path), source);
      const { violations } = await scanSources(copy);
      assert.deepEqual(violations.map((violation) => violation.split(' ')[0]).sort(), Object.keys(planted).sort());
    } finally {
      await rm(copy, { recursive: true });
    }
  });
});

interface Violation {
  readonly from: string;
  readonly rule: string;
  readonly to: string;
}

async function cruise(directory: string): Promise<{ modules: Set<string>; violations: Violation[] }> {
  const args = [
    cruiser,
    '--config',
    '.dependency-cruiser.cjs',
    '--output-type',
    'json',
    ...sourceFolders.map((folder) => `dist/${folder}`),
  ];
  const output = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, args, { cwd: directory, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      // It exits with an error when there are violations, and prints them all the same.
      if (stdout.length > 0) resolve(stdout);
      else reject(error ?? new Error(stderr));
    });
  });
  const result = JSON.parse(output) as {
    modules: { source: string }[];
    summary: { violations: { from: string; to: string; rule: { name: string } }[] };
  };
  return {
    modules: new Set(result.modules.map((module) => module.source)),
    violations: result.summary.violations.map(({ from, to, rule }) => ({ from, rule: rule.name, to })),
  };
}

const STATIC_IMPORT =
  /^(?:import|export)\s+(?:type\s+)?(?:[\w$]+\s*,?\s*)?(?:\*(?:\s+as\s+[\w$]+)?|\{[^}]*\})?\s*from\s*(['"])(.+?)\1/gm;
const BARE_IMPORT = /^import\s*(['"])(.+?)\1/gm;
/** Dynamic imports and import types; `require` of createRequire's making too, which no table would see otherwise. */
const CALLED_IMPORT = /(?<![\w$.])(?:import|require(?:\.resolve)?)\s*\(\s*(['"`])(.+?)\1/g;

/** Module specifiers of a source that Biome has formatted, so statements begin their lines. */
function specifiersOf(text: string): string[] {
  const code = text.replace(/^\s*(?:\/\/|\/?\*+\s).*$/gm, '');
  return [STATIC_IMPORT, BARE_IMPORT, CALLED_IMPORT].flatMap((pattern) =>
    [...code.matchAll(pattern)].map(([, , specifier = '']) => specifier),
  );
}

/** `file imports specifier` for everything that the table does not allow. */
async function scanSources(directory: string): Promise<{ imports: number; violations: string[] }> {
  const violations: string[] = [];
  let imports = 0;
  for (const file of await listFiles(directory, sourceFolders)) {
    const text = await readFile(join(directory, file), 'utf8');
    const layer = layers[layerOf(file)];
    if (layer === undefined) violations.push(`${file} is in no layer`);
    for (const specifier of specifiersOf(text)) {
      imports++;
      if (layer !== undefined && !isAllowed(file, layer, specifier)) violations.push(`${file} imports ${specifier}`);
    }
  }
  return { imports, violations };
}

function isAllowed(file: string, layer: Layer, specifier: string): boolean {
  if (specifier.startsWith('.')) {
    const target = layerOf(join(dirname(file), specifier));
    return target === layerOf(file) || layer.imports.includes(target);
  }
  if (specifier.startsWith('node:')) return layer.builtins === 'any' || layer.builtins.includes(specifier.slice(5));
  return layer.packages.some((name) => specifier === name || specifier.startsWith(`${name}/`));
}

/** `src/lsn.ts` is the layer `lsn`, `src/types/array.ts` is `types`, `workers/decode.cts` is `workers`. */
function layerOf(file: string): string {
  const [top = '', second = ''] = file.split(sep);
  return top === 'src' ? second.replace(/\.[jt]s$/, '') : top;
}

async function listFiles(directory: string, folders: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const folder of folders) {
    for (const entry of await readdir(join(directory, folder), { withFileTypes: true, recursive: true })) {
      if (entry.isFile()) files.push(join(relative(directory, entry.parentPath ?? entry.path), entry.name));
    }
  }
  return files.sort();
}

async function write(path: string, source: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${source}\n`);
}
