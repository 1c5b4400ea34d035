import type { TestProject } from 'vitest/node';
import { PostgresCluster } from './postgres-cluster.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Address of the cluster's own database, where tests run against PostgreSQL. */
    postgres: string | undefined;
  }
}

/** Starts a cluster for the tests of a project, and ends it with them. */
export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const cluster = await PostgresCluster.start(false);
  provide('postgres', cluster.url);
  return () => cluster[Symbol.asyncDispose]();
}
