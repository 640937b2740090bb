/*
 * Entry of the decode pool's threads: a file of its own, so that its URL has one form in `dist` and in the package.
 *
 * It is CommonJS because Piscina loads it by require(): a thread that is ended while require() loads ES modules aborts
 * the whole process (Node 20: "v8::Module::IsGraphAsync must be used on an instantiated module"), and a stream may end
 * before its threads have loaded. While import() loads them, ending is safe.
 */
const worker = import('../src/threads/decode-worker.js');

export = {
  decode: worker.then(({ decode }) => decode),
  prepare: worker.then(({ prepare }) => prepare),
};
