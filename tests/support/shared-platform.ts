import type { TestProject } from 'vitest/node';
import { TestPlatform } from './platform.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The platform that conformance and e2e tests share. */
    platform: { url: string; key: string; secondKey: string; dataDir: string; launcher: number };
  }
}

/** Shapes that clients create which give up after 30 s: a shape that is new to the host boots once, and may take longer. */
const shapesOfImpatientClients = [{}, { memoryMB: 512 }];

/** Starts one platform for all tests of a run; tests that kill things start their own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const platform = await TestPlatform.start();
  for (const shape of shapesOfImpatientClients) await (await platform.api.create(shape)).delete();
  const secondKey = await platform.addKey('second', 'second-owner');
  const { url, key, dataDir, launcher } = platform;
  project.provide('platform', { url, key, secondKey, dataDir, launcher: launcher.pid });
  process.env['OPENCOMPUTER_API_URL'] = url;
  process.env['OPENCOMPUTER_API_KEY'] = key;
  process.env['OPENCOMPUTER_SECOND_API_KEY'] = secondKey;
  return () => platform.destroy();
}
