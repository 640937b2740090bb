/* Entry of the decode pool's threads: a file of its own, so that its URL has one form in `dist` and in the package. */
export { decode as default, prepare } from '../src/threads/decode-worker.js';
