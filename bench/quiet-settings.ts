/** Of a server that works for nobody but who is measured: no autovacuum, no checkpoint but those that a backup asks for. */
export const QUIET_SETTINGS = {
  autovacuum: 'off',
  checkpoint_timeout: '1h',
  max_wal_size: '32GB',
  shared_buffers: '256MB',
};
