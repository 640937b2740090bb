/**
 * Runs the built tests: `node test/run.mjs [--flag-of-node ...] [part of a path ...] [not:part ...]`, where a part may be a
 * regular expression.
 *
 * Node 20 expands no glob patterns and 22 takes no folders, so the files are named one by one. Real servers and
 * timing-sensitive tests share the processors: half as many files at a time.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith('-'));
const named = args.filter((arg) => !arg.startsWith('-'));
const parts = named.filter((arg) => !arg.startsWith('not:')).map((arg) => new RegExp(arg));
const left = named.filter((arg) => arg.startsWith('not:')).map((arg) => new RegExp(arg.slice('not:'.length)));
const files = readdirSync('test', { recursive: true })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => join('dist', 'test', name.replace(/\.ts$/, '.js')))
  .filter((file) => parts.length === 0 || parts.some((part) => part.test(file)))
  .filter((file) => !left.some((part) => part.test(file)))
  .sort();
if (files.length === 0) {
  console.error(`there is no test file for ${named.join(' ')}`);
  process.exit(1);
}
if (!flags.some((flag) => flag.startsWith('--test-reporter'))) flags.push('--test-reporter=spec');
const concurrency = Math.max(1, Math.floor(availableParallelism() / 2));
const node = spawn(
  process.execPath,
  ['--test', `--test-concurrency=${concurrency}`, '--test-timeout=300000', ...flags, ...files],
  { stdio: 'inherit' },
);
// Ctrl+C reaches both of us; the tests end first.
process.on('SIGINT', () => {});
node.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
