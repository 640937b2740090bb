import { ConfigurationError, type WalStreamError } from '../errors.js';

/** What {@link preflight} looks at. */
export type CheckName =
  | 'options'
  | 'pooler'
  | 'privilege'
  | 'publication-empty'
  | 'publication-missing'
  | 'replica-identity'
  | 'replication-slots'
  | 'slot-database'
  | 'slot-gap'
  | 'slot-in-use'
  | 'slot-invalidated'
  | 'slot-missing'
  | 'slot-plugin'
  | 'slot-synced'
  | 'slot-two-phase'
  | 'slot-type'
  | 'standby'
  | 'wal-level'
  | 'wal-sender-timeout'
  | 'wal-senders';

/** One thing that keeps a stream from working, or will make trouble. */
export interface Finding {
  /** With an error the stream cannot start. */
  readonly severity: 'error' | 'warning';
  /** Which of the checks found it. */
  readonly check: CheckName;
  /** What is wrong, for people, without the remedy. */
  readonly message: string;
  /** The statement that mends it, where one does. */
  readonly remedy?: string;
  /** The finding as the error that a stream throws: its message shows the remedy. */
  readonly error: () => WalStreamError;
}

export interface FindingDetails {
  readonly severity?: 'error' | 'warning';
  readonly check: CheckName;
  readonly message: string;
  readonly remedy?: string | undefined;
}

/** What is wrong and, where a statement mends it, that statement. */
export function findingText({ message, remedy }: Pick<FindingDetails, 'message' | 'remedy'>): string {
  return remedy === undefined ? message : `${message}. What mends it: ${remedy}`;
}

/** A finding whose error is made from its text; the text shows the remedy. */
export function finding(details: FindingDetails, error: (message: string) => WalStreamError): Finding {
  const { severity = 'error', check, message, remedy } = details;
  const text = findingText(details);
  return { severity, check, message, ...(remedy !== undefined && { remedy }), error: () => error(text) };
}

/** A finding about the set-up: a ConfigurationError naming the option. */
export function configurationFinding(option: string, details: FindingDetails): Finding {
  return finding(details, (message) => new ConfigurationError(message, { option }));
}
