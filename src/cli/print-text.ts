import { Output, OutputClosedError } from './output.js';

/** Writes what a command says; that nobody reads it is no failure. */
export async function printText(text: string): Promise<void> {
  try {
    await new Output(process.stdout).write(text);
  } catch (error) {
    if (!(error instanceof OutputClosedError)) throw error;
  }
}
