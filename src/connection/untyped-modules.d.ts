/** The parts of node-postgres' SCRAM and MD5 and of pgpass that are used here; these files have no types of their own. */
declare module 'pg/lib/crypto/sasl.js' {
  interface SaslSession {
    readonly mechanism: string;
    readonly response: string;
  }
  const sasl: {
    startSession(mechanisms: readonly string[], stream: object | null, maxIterations: number): SaslSession;
    continueSession(session: SaslSession, password: string, serverData: string, stream: object | null): Promise<void>;
    finalizeSession(session: SaslSession, serverData: string): void;
  };
  export default sasl;
}

declare module 'pg/lib/crypto/utils.js' {
  const utils: {
    postgresMd5PasswordHash(user: string, password: string, salt: Uint8Array): Promise<string>;
  };
  export default utils;
}

declare module 'pgpass/lib/helper.js' {
  export interface PgpassEntry {
    readonly host: string;
    readonly port: string;
    readonly database: string;
    readonly user: string;
    readonly password: string;
  }
  export interface PgpassHelper {
    parseLine(line: string): PgpassEntry | null;
    isValidEntry(entry: PgpassEntry): boolean;
    match(connection: { host: string; port: number; database: string; user: string }, entry: PgpassEntry): boolean;
  }
  const helper: PgpassHelper;
  export default helper;
}
