import { Lsn } from '../lsn.js';
import type { Report } from './backend-bytes.js';
import { type CatalogAnswer, one } from './fake-catalog.js';
import type { FakeSlot } from './fake-slot.js';
import type { ReplicationCommand } from './replication-command.js';
import type { ResolvedSenderOptions } from './sender-options.js';

/** What the commands ask and change. */
export interface CommandState {
  readonly options: ResolvedSenderOptions;
  createSlot(command: Extract<ReplicationCommand, { kind: 'createSlot' }>): FakeSlot | Report;
  dropSlot(name: string): Report | undefined;
}

/** Answers the replication commands that begin no COPY. */
export function answerCommand(
  command: Exclude<ReplicationCommand, { kind: 'start' | 'baseBackup' }>,
  database: string,
  state: CommandState,
): CatalogAnswer {
  const { systemId, timeline, wal, settings } = state.options;
  switch (command.kind) {
    case 'identifySystem':
      return {
        ...one({
          systemid: systemId,
          timeline: String(timeline),
          xlogpos: Lsn.format(wal.endLsn),
          dbname: database,
        }),
        command: 'IDENTIFY_SYSTEM',
      };
    case 'createSlot': {
      const made = state.createSlot(command);
      if ('sqlState' in made) return { error: made };
      return {
        ...one({
          slot_name: made.name,
          consistent_point: Lsn.format(made.confirmedFlushLsn),
          snapshot_name: command.exportsSnapshot ? '00000003-00000001-1' : null,
          output_plugin: made.plugin,
        }),
        command: 'CREATE_REPLICATION_SLOT',
      };
    }
    case 'dropSlot': {
      const error = state.dropSlot(command.slot);
      return error === undefined ? { columns: [], rows: [], command: 'DROP_REPLICATION_SLOT' } : { error };
    }
    case 'show': {
      const value = settings[command.setting];
      if (value !== undefined) return { ...one({ [command.setting]: value }), command: 'SHOW' };
      return { error: { sqlState: '42704', message: 'unrecognized configuration parameter' } };
    }
    default:
      return command satisfies never;
  }
}
