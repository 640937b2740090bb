import { advanceSlot, createSlot, dropSlot, Lsn, listSlots, type SlotInfo } from '../index.js';
import { withSession } from './catalog-session.js';
import { onOneLine } from './failure-line.js';
import { printText } from './print-text.js';
import { formatBytes } from './rate-line.js';
import { textTable } from './text-table.js';

/** What every subcommand of `slot` takes. */
export interface SlotFlags {
  readonly dsn?: string;
}

export interface ListSlotsFlags extends SlotFlags {
  readonly format: 'pretty' | 'jsonl';
}

export interface CreateSlotFlags extends SlotFlags {
  readonly physical?: boolean;
  readonly reserveWal?: boolean;
  readonly twoPhase?: boolean;
  readonly failover?: boolean;
}

export interface DropSlotFlags extends SlotFlags {
  /** Seconds to wait for the connection that holds it. */
  readonly wait?: number;
}

export async function listSlotsCommand({ dsn, format }: ListSlotsFlags): Promise<void> {
  const slots = await withSession(dsn, 'sql', (session) => listSlots(session));
  await printText(format === 'jsonl' ? slots.map((slot) => `${slotJson(slot)}\n`).join('') : slotTable(slots));
}

export async function createSlotCommand(name: string, flags: CreateSlotFlags): Promise<void> {
  const { dsn, physical, reserveWal, twoPhase = false, failover = false } = flags;
  const created = await withSession(dsn, 'logical', (session) =>
    physical
      ? createSlot(session, { kind: 'physical', name, reserveWal: reserveWal ?? false })
      : createSlot(session, { kind: 'logical', name, twoPhase, failover }),
  );
  const from = physical ? '' : `, from ${Lsn.format(created.consistentPoint)} on`;
  await printText(`created ${physical ? 'physical' : 'logical'} slot ${name}${from}\n`);
}

export async function dropSlotCommand(name: string, { dsn, wait = 0 }: DropSlotFlags): Promise<void> {
  await withSession(dsn, 'sql', (session) => dropSlot(session, name, { waitMs: wait * 1_000 }));
  await printText(`dropped slot ${name}\n`);
}

export async function advanceSlotCommand(name: string, lsn: bigint, { dsn }: SlotFlags): Promise<void> {
  const reached = await withSession(dsn, 'sql', (session) => advanceSlot(session, name, lsn));
  await printText(`slot ${name} is at ${Lsn.format(reached)}\n`);
}

/** LSNs as `X/Y`, sizes as text: they may be larger than a JSON number can be. */
export function slotJson(slot: SlotInfo): string {
  const { restartLsn, confirmedFlushLsn, safeWalSize, retainedBytes, ...rest } = slot;
  return JSON.stringify({
    ...rest,
    restartLsn: restartLsn === undefined ? undefined : Lsn.format(restartLsn),
    confirmedFlushLsn: confirmedFlushLsn === undefined ? undefined : Lsn.format(confirmedFlushLsn),
    safeWalSize: safeWalSize?.toString(),
    retainedBytes: retainedBytes?.toString(),
  });
}

export function slotTable(slots: readonly SlotInfo[]): string {
  return textTable(
    ['NAME', 'KIND', 'DATABASE', 'USED BY', 'CONFIRMED', 'WAL KEPT', 'STATE'],
    slots.map((slot) => [
      onOneLine(slot.name),
      slot.plugin ?? slot.slotType,
      onOneLine(slot.database ?? '-'),
      slot.activePid === undefined ? '-' : `PID ${slot.activePid}`,
      slot.confirmedFlushLsn === undefined ? '-' : Lsn.format(slot.confirmedFlushLsn),
      slot.retainedBytes === undefined ? '-' : formatBytes(Number(slot.retainedBytes)),
      slot.invalidationReason ?? slot.walStatus ?? '-',
    ]),
  );
}
