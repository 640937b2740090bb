/*
 * For programs whose output goes into a pipe, such as `| head`: when nobody reads it any more, they end as at Ctrl+C.
 */
process.stdout.once('error', () => process.kill(process.pid, 'SIGINT'));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
