/**
 * `node replay-process.js recording`: sends the recording to whoever connects, in bulk, and prints its port on a line
 * of its own. A process by itself, so that a benchmark does not measure it along with the client. Ends with its stdin.
 */
import { FakeWalSender } from './fake-wal-sender.js';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: replay-process.js recording');
const sender = await FakeWalSender.fromRecording(path, { pace: 'bulk' });
process.stdout.write(`${sender.port}\n`);
process.stdin.resume().once('end', () => void sender.close());
