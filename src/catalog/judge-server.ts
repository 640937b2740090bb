import { AuthenticationError } from '../errors.js';
import { quoteIdentifier } from '../protocol/quoting.js';
import { formatServerVersion } from '../protocol/server-version.js';
import { configurationFinding, type Finding, finding } from './finding.js';
import type { ManagedService, ServerFacts } from './preflight-facts.js';

/** What the server and this session lack for logical replication, whatever is streamed. */
export function judgeServer(server: ServerFacts): Finding[] {
  return [
    ...judgeSession(server),
    ...judgePrivilege(server),
    ...judgeWalLevel(server),
    ...judgeStandby(server),
    ...judgeWalSenders(server),
  ];
}

function judgeSession(server: ServerFacts): Finding[] {
  const direct = 'replication needs a direct connection to the server';
  if (server.announcedBackendPid !== server.backendPid) {
    return [
      configurationFinding('connection.host', {
        check: 'pooler',
        message: `a connection pooler is in between: the process that answers (PID ${server.backendPid}) is not the one that was announced (${server.announcedBackendPid}); ${direct}`,
      }),
    ];
  }
  if (server.isWalSender) return [];
  return [
    configurationFinding('connection', {
      check: 'pooler',
      message: `this is no replication connection: replication=database was not asked for, or a connection pooler dropped it; ${direct}`,
    }),
  ];
}

function judgePrivilege(server: ServerFacts): Finding[] {
  if (server.mayReplicate) return [];
  const role = quoteIdentifier(server.role, 'connection.user');
  const details = {
    check: 'privilege',
    message: `role ${server.role} may not replicate`,
    remedy: server.managedService === 'rds' ? `GRANT rds_replication TO ${role}` : `ALTER ROLE ${role} REPLICATION`,
  } as const;
  return [finding(details, (message) => new AuthenticationError(message, { method: 'privilege', sqlState: '42501' }))];
}

const WAL_LEVEL_ON: Readonly<Record<ManagedService, string>> = {
  rds: 'set rds.logical_replication to 1 in the parameter group of this RDS or Aurora server, then reboot it',
  cloudsql: 'set the flag cloudsql.logical_decoding of this Cloud SQL server to on; it restarts',
  azure: 'set the server parameter wal_level of this Azure server to logical, then restart it',
};

function judgeWalLevel(server: ServerFacts): Finding[] {
  if (server.walLevel === 'logical') return [];
  const message = `wal_level is ${server.walLevel}, and logical replication needs logical`;
  if (server.managedService !== undefined) {
    return [
      configurationFinding('connection', {
        check: 'wal-level',
        message: `${message}: ${WAL_LEVEL_ON[server.managedService]}`,
      }),
    ];
  }
  return [
    configurationFinding('connection', {
      check: 'wal-level',
      message: `${message}; the change takes effect with a restart of the server`,
      remedy: `ALTER SYSTEM SET wal_level = 'logical'`,
    }),
  ];
}

function judgeStandby(server: ServerFacts): Finding[] {
  if (!server.inRecovery) return [];
  if (server.serverVersion < 160_000) {
    return [
      configurationFinding('connection.host', {
        check: 'standby',
        message: `this server is a standby, where logical decoding needs PostgreSQL 16 or later; it is ${formatServerVersion(server.serverVersion)}: connect to the primary`,
      }),
    ];
  }
  if (server.hotStandbyFeedback) return [];
  return [
    configurationFinding('connection.host', {
      severity: 'warning',
      check: 'standby',
      message:
        'this server is a standby without hot_standby_feedback: the primary may remove rows that decoding needs, which invalidates the slot; the change takes effect with a reload',
      remedy: 'ALTER SYSTEM SET hot_standby_feedback = on',
    }),
  ];
}

function judgeWalSenders(server: ServerFacts): Finding[] {
  if (server.walSendersInUse < server.maxWalSenders) return [];
  const details = {
    check: 'wal-senders',
    message: `all ${server.maxWalSenders} max_wal_senders are in use${server.isWalSender ? ', this connection included: a reconnect may find none' : ''}; raising it takes a restart`,
    remedy: `ALTER SYSTEM SET max_wal_senders = ${server.maxWalSenders + 10}`,
  } as const;
  return [configurationFinding('connection', { ...details, severity: server.isWalSender ? 'warning' : 'error' })];
}
