/* Entry of the threads that make checksums of files. CommonJS for the reason given in decode.cts. */
const worker = import('../src/backup/checksum-worker.js');

export = { run: worker.then(({ runChecksumTask }) => runChecksumTask) };
