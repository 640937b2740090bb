import { execFile } from 'node:child_process';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { promisify } from 'node:util';
import type { Spread } from './spread.js';

/** A line of a table: what was measured, and its figures by column. */
export interface TableRow {
  readonly name: string;
  readonly figures: Readonly<Record<string, Spread | undefined>>;
}

export interface Table {
  readonly title: string;
  readonly rows: readonly TableRow[];
}

/** A figure to reach. */
export interface Verdict {
  readonly name: string;
  readonly value: number;
  readonly bound: 'at least' | 'at most';
  readonly target: number;
  readonly unit: string;
}

/** Everything that a run found. */
export interface Report {
  readonly machine: string;
  readonly tables: Table[];
  readonly verdicts: Verdict[];
  readonly notes: string[];
}

/** The whole report as text. */
export function formatReport({ machine, notes, tables, verdicts }: Report): string {
  const reached = verdicts.filter(isReached).length;
  return [
    machine,
    notes.join('\n'),
    ...tables.map(formatTable),
    verdicts.map(formatVerdict).join('\n'),
    `${reached} of ${verdicts.length} figures reached`,
  ].join('\n\n');
}

function isReached({ value, bound, target }: Verdict): boolean {
  return bound === 'at least' ? value >= target : value <= target;
}

function formatTable({ title, rows }: Table): string {
  const columns = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const cells = [
    [title, ...columns],
    ...rows.map(({ name, figures }) => [name, ...columns.map((column) => formatSpread(figures[column]))]),
  ];
  const widths = cells[0]?.map((_, index) => Math.max(...cells.map((row) => row[index]?.length ?? 0))) ?? [];
  const lines = cells.map((row) => `| ${row.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

function formatVerdict(verdict: Verdict): string {
  const { name, value, bound, target, unit } = verdict;
  const suffix = unit === '' ? '' : ` ${unit}`;
  const state = isReached(verdict) ? 'reached' : 'missed ';
  return `${state}  ${name}: ${formatNumber(value)}${suffix}, to reach ${bound} ${formatNumber(target)}${suffix}`;
}

/** Median, and from where to where the rounds went. */
function formatSpread(spread: Spread | undefined): string {
  if (spread === undefined) return '';
  const { median, min, max } = spread;
  return min === max ? formatNumber(median) : `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`;
}

function formatNumber(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** What the figures were measured on. */
export async function describeMachine(serverVersion: string): Promise<string> {
  const { stdout } = await promisify(execFile)('git', ['rev-parse', '--short', 'HEAD'], {
    cwd: import.meta.dirname,
  }).catch(() => ({ stdout: 'unknown' }));
  return [
    `${new Date().toISOString().slice(0, 10)}, commit ${stdout.trim()}`,
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${platform()} ${release()} ${arch()}`,
    `Node ${process.versions.node}`,
    `PostgreSQL ${serverVersion}`,
  ].join(' · ');
}
