import { WalReceiver } from '../index.js';
import { StopSignals } from './stop-signals.js';

/** Flags of `receivewal`, as commander names them. */
export interface ReceiveWalFlags {
  readonly directory: string;
  readonly dsn?: string;
  readonly slot?: string;
  readonly createSlot?: boolean;
  readonly synchronous?: boolean;
  readonly endpos?: bigint;
}

/** Receives WAL until it has reached `--endpos` or a signal stops it. */
export async function receiveWalCommand(flags: ReceiveWalFlags): Promise<void> {
  const abort = new AbortController();
  const receiver = new WalReceiver({
    directory: flags.directory,
    synchronous: flags.synchronous ?? false,
    ...(flags.dsn !== undefined && { connection: flags.dsn }),
    ...(flags.slot !== undefined && {
      slot: { name: flags.slot, create: flags.createSlot ? ('if-missing' as const) : ('never' as const) },
    }),
    ...(flags.endpos !== undefined && { endLsn: flags.endpos }),
    signal: abort.signal,
  });
  using signals = new StopSignals();
  signals.requested.addEventListener('abort', () => void receiver.stop());
  signals.atOnce.addEventListener('abort', () => abort.abort());
  try {
    await receiver.run();
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  }
}
