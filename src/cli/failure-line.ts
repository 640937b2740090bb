// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach a terminal.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f]+/g;

/** What is said of a failure: one line, without a stack trace, whatever the message holds. */
export function failureLine(error: unknown): string {
  return `pg-walstream: ${onOneLine(messageOf(error))}\n`;
}

export function onOneLine(text: string): string {
  return text.replace(UNPRINTABLE, ' ').trim();
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The error of a disposal hides the one that came before it.
  if ('suppressed' in error) return messageOf(error.suppressed);
  if (error.message !== '') return error.message;
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return error.name;
}
