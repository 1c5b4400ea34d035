import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import type { TestSandbox } from './api.ts';

const port = 18_080;
const log = '/tmp/model-requests';

/** What makes agents ask the obedient model, and nobody else. */
export const obedientModelEnvs = {
  ANTHROPIC_API_KEY: 'sk-test',
  ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`,
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
};

/** A request that an agent made. */
export interface ModelRequest {
  key: string;
  model: string;
  tools: string[];
  system: string;
  prompts: string[];
}

/** Starts the model that does as it is told (`model-endpoint.ts`) inside a sandbox. */
export async function startObedientModel(sandbox: TestSandbox): Promise<void> {
  const source = await readFile(join(import.meta.dirname, 'model-endpoint.ts'), 'utf8');
  await sandbox.write('/tmp/model-endpoint.mjs', stripTypeScriptTypes(source));
  await sandbox.output(
    `setsid node /tmp/model-endpoint.mjs ${port} ${log} </dev/null >/tmp/model-endpoint.log 2>&1 &
    for i in $(seq 600); do grep -q listening /tmp/model-endpoint.log && exit 0; sleep 0.1; done
    cat /tmp/model-endpoint.log; exit 1`,
  );
}

/** What agents asked of it with tools at hand, the oldest first. */
export async function modelRequests(sandbox: TestSandbox): Promise<ModelRequest[]> {
  const lines = (await sandbox.output(`cat ${log}`)).split('\n');
  const requests = lines.map((line) => JSON.parse(line) as Partial<ModelRequest>);
  return requests.filter(({ tools = [] }) => tools.length > 0) as ModelRequest[];
}
