/**
 * `node replay-process.js recording [slot ...]`: sends the recording to whoever connects, in bulk, and prints its port
 * on a line of its own. A process by itself, so that a benchmark does not measure it along with the client. Ends with
 * its stdin. A slot remembers what was confirmed: each drain that is to begin at the beginning needs one of its own,
 * instead of the one that was recorded.
 */
import { FakeWalSender } from './fake-wal-sender.js';

const [path, ...slots] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: replay-process.js recording [slot ...]');
const sender = await FakeWalSender.fromRecording(path, { pace: 'bulk', ...(slots.length > 0 && { slots }) });
process.stdout.write(`${sender.port}\n`);
process.stdin.resume().once('end', () => void sender.close());
