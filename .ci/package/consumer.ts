import { Lsn, type WalEvent, WalStream } from 'pg-walstream';
import * as pgoutput from 'pg-walstream/pgoutput';
import { FakeWalSender, type Fault, WalTape } from 'pg-walstream/testing';

const stream = new WalStream({ slot: 'smoke', publications: ['smoke'], workers: 2 });

export async function firstInsert(): Promise<string | undefined> {
  await stream.start();
  for await (const event of stream) {
    const position: bigint | undefined = describe(event);
    if (position !== undefined) return Lsn.format(position);
  }
  return undefined;
}

function describe(event: WalEvent): bigint | undefined {
  // The union narrows by its literal discriminant.
  return event.kind === 'insert' ? event.lsn : undefined;
}

export const names: string[] = Object.keys(pgoutput);

export async function fakeConnection(...faults: Fault[]): Promise<string> {
  await using sender = await FakeWalSender.listen({ wal: new WalTape(), slots: ['smoke'], faults });
  return sender.connectionString({ sslmode: 'disable' });
}
