import { type FileHandle, open } from 'node:fs/promises';
import { queryPublishedTypes } from '../catalog/index.js';
import { ReplicationConnection, resolveConnectionConfig, type WalStream, WalStreamError } from '../index.js';
import { UnitEnds } from '../pgoutput/unit-ends.js';
import { type RecordedTypes, type RecordingHeader, RecordingWriter } from '../protocol/recording.js';

/** Of a large transaction, so that it need not fit into memory. */
const WRITE_BYTES = 256 * 1024;

export interface RecordRequest {
  readonly path: string;
  readonly dsn: string | undefined;
  readonly slot: string;
  readonly publications: readonly string[];
}

/**
 * Writes the messages to a file, which must not be there yet, and acknowledges each transaction that the system has
 * taken: before the next is asked for, because that may be the end of the stream.
 */
export async function recordStream(stream: WalStream, request: RecordRequest): Promise<void> {
  const writer = new RecordingWriter(await describeServer(request));
  const unitEnds = new UnitEnds();
  const file = await open(request.path, 'wx');
  try {
    for await (const message of stream.rawMessages()) {
      writer.addXLogData(message, message.data);
      const unitEnd = unitEnds.after(message.data);
      if (unitEnd !== undefined || writer.pendingBytes >= WRITE_BYTES) await writeAll(file, writer.take());
      if (unitEnd !== undefined) stream.ack(unitEnd);
    }
  } finally {
    // Whatever ended the stream, this is all of what it gave.
    try {
      await writeAll(file, writer.finish());
    } finally {
      await file.close();
    }
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

/** Asked on a connection of its own: the stream's answers nothing any more. */
async function describeServer({ dsn, slot, publications }: RecordRequest): Promise<RecordingHeader> {
  await using connection = await ReplicationConnection.connect(resolveConnectionConfig(dsn), { mode: 'logical' });
  const { systemId, timeline, database } = await connection.identifySystem();
  const { serverVersion } = connection;
  const types = await describeTypes(connection, publications);
  return {
    serverVersion,
    systemId,
    timeline,
    database: database ?? '',
    slot,
    publications,
    ...(types !== undefined && { types }),
  };
}

/** Who may not read the catalog has values of such types as the server's text, now and when it is replayed. */
async function describeTypes(
  connection: ReplicationConnection,
  publications: readonly string[],
): Promise<RecordedTypes | undefined> {
  try {
    const result = await queryPublishedTypes(connection, publications);
    return result && { columns: result.columns, rows: result.rows };
  } catch (error) {
    if (error instanceof WalStreamError) return undefined;
    throw error;
  }
}
