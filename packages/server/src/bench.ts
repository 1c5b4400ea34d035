/** What measurements use of the server: its store alone. Nothing else uses it. */
export { insertNewSandbox } from './sandboxes/new-sandbox.ts';
export { openStore } from './store/database.ts';
export { insertOperation } from './store/operations.ts';
export { countLive } from './store/quota.ts';
export { listSandboxes } from './store/sandboxes.ts';
export type { Store } from './store/tables.ts';
export { transact } from './store/transaction.ts';
export { noteContact } from './store/workers.ts';
export { PostgresCluster } from './testing/postgres-cluster.ts';
export { Client as PostgresClient } from 'pg';
