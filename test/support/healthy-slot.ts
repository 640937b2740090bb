import type { SlotInfo } from '../../src/catalog/index.js';

/** A logical slot that waits for its client, as the catalogue shows it. */
export const HEALTHY_SLOT: SlotInfo = {
  name: 's',
  plugin: 'pgoutput',
  slotType: 'logical',
  database: 'shop',
  temporary: false,
  active: false,
  activePid: undefined,
  restartLsn: 0x100n,
  confirmedFlushLsn: 0x200n,
  walStatus: 'reserved',
  safeWalSize: undefined,
  twoPhase: false,
  conflicting: false,
  invalidationReason: undefined,
  failover: false,
  synced: false,
  inactiveSince: undefined,
  retainedBytes: 0n,
};
