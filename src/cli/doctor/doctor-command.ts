import { ReplicationConnection, resolveConnectionConfig, WalStreamError } from '../../index.js';
import { onOneLine } from '../failure-line.js';
import { type Palette, paletteFor } from '../palette.js';
import { printText } from '../print-text.js';
import type { Diagnosis } from './diagnosis.js';
import { type DoctorRequest, readDoctorFacts } from './doctor-facts.js';
import { judgeFacts, judgeWithoutConnection } from './judge-facts.js';

/** Flags of `doctor`, as commander names them. */
export interface DoctorFlags extends DoctorRequest {
  readonly format: 'pretty' | 'jsonl';
}

/** Looks at everything and prints what it found; whether there is no problem. */
export async function doctorCommand({ format, ...request }: DoctorFlags): Promise<boolean> {
  const diagnoses = await diagnose(request);
  await printText(format === 'jsonl' ? jsonLines(diagnoses) : prettyLines(diagnoses, paletteFor(process.stdout)));
  return diagnoses.every(({ status }) => status !== 'problem');
}

async function diagnose(request: DoctorRequest): Promise<Diagnosis[]> {
  // A wrong flag or variable is no illness of the server; what the server makes of right ones is.
  const config = resolveConnectionConfig(request.dsn);
  let session: ReplicationConnection;
  try {
    session = await ReplicationConnection.connect(config, { mode: 'sql' });
  } catch (error) {
    if (!(error instanceof WalStreamError)) throw error;
    return judgeWithoutConnection(process.versions.node, error);
  }
  await using _ = session;
  return judgeFacts(await readDoctorFacts(session, config, request));
}

function jsonLines(diagnoses: readonly Diagnosis[]): string {
  return diagnoses.map((diagnosis) => `${JSON.stringify(diagnosis)}\n`).join('');
}

/** A line for each check, below it what mends it; at the end how many are not well. */
export function prettyLines(diagnoses: readonly Diagnosis[], palette: Palette): string {
  const paints = { ok: palette.green, warning: palette.yellow, problem: palette.red };
  const lines = diagnoses.flatMap(({ status, message, remedy }) => [
    `${paints[status](status.padEnd(7))}  ${onOneLine(message)}`,
    ...(remedy === undefined ? [] : [`         ${palette.bold(onOneLine(remedy))}`]),
  ]);
  const count = (wanted: Diagnosis['status']) => diagnoses.filter(({ status }) => status === wanted).length;
  const [problems, warnings] = [count('problem'), count('warning')];
  const plural = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;
  return [...lines, '', `${plural(problems, 'problem')}, ${plural(warnings, 'warning')}`, ''].join('\n');
}
