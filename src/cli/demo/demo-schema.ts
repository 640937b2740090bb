export const ACCOUNT_COUNT = 1_000;

/**
 * What the demo's writers work on. `writer` and `sequence` number the rows that each writer inserts, `version` the
 * updates of each account: that is how the demo sees whether the stream keeps the order.
 */
export const SCHEMA = `
CREATE TABLE accounts (
  id integer PRIMARY KEY,
  owner text NOT NULL,
  balance numeric(14, 2) NOT NULL,
  version bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE orders (
  writer integer,
  sequence bigint,
  account_id integer NOT NULL,
  total numeric(12, 2) NOT NULL,
  status text NOT NULL,
  items jsonb NOT NULL,
  note text,
  placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (writer, sequence)
);
CREATE TABLE events (
  writer integer,
  sequence bigint,
  kind text NOT NULL,
  payload jsonb NOT NULL,
  score double precision,
  happened_at timestamptz NOT NULL,
  PRIMARY KEY (writer, sequence)
);
INSERT INTO accounts
  SELECT id, 'owner ' || id, 1000, 0 FROM generate_series(1, ${ACCOUNT_COUNT}) id;
`;

/** For the embedded server: WAL and checkpoints that suit a short and busy life. */
export const SERVER_SETTINGS: Readonly<Record<string, string>> = {
  max_wal_size: '512MB',
  shared_buffers: '128MB',
  synchronous_commit: 'off',
};
