import { afterAll, beforeAll, inject } from 'vitest';
import { Api, type TestSandbox } from './api.ts';
import { partOf } from './processes.ts';

/** The API of the platform that all e2e tests share. */
export function sharedApi(): Api {
  const { url, key } = inject('platform');
  return new Api(url, key);
}

/** The same platform, as another tenant sees it. */
export function secondApi(): Api {
  const { url, secondKey } = inject('platform');
  return new Api(url, secondKey);
}

/** Pids of the shared platform's server and worker. */
export function sharedPids(): number[] {
  const { launcher } = inject('platform');
  return (['server', 'worker'] as const).map((name) => {
    const part = partOf(launcher, name);
    if (part === undefined) throw new Error(`the ${name} does not run`);
    return part.pid;
  });
}

/** One sandbox for all tests of a file (or block); deleted after them. */
export function fileSandbox(options: Record<string, unknown> = {}): () => TestSandbox {
  let sandbox: TestSandbox | undefined;
  beforeAll(async () => {
    sandbox = await sharedApi().create(options);
  });
  afterAll(async () => {
    await sandbox?.delete();
  });
  return () => {
    if (sandbox === undefined) throw new Error('there is no sandbox before the tests begin');
    return sandbox;
  };
}
