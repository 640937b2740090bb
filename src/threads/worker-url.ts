/** Where `tsc` puts the entry files of threads, seen from `dist/src/threads`. */
export const DECODE_WORKER_URL = new URL('../../workers/decode.cjs', import.meta.url);
export const BACKUP_WORKER_URL = new URL('../../workers/backup.js', import.meta.url);
export const CHECKSUM_WORKER_URL = new URL('../../workers/checksum.cjs', import.meta.url);
