import { afterAll, beforeAll, describe, test } from 'vitest';
import { ours } from './clients/ours.ts';
import { published } from './clients/published.ts';
import { secondKey } from './raw-api.ts';
import { sharedEnvs } from './scenarios/scenario.ts';
import type { Client, SandboxHandle } from './clients/client.ts';
import type { Scenario } from './scenarios/scenario.ts';

/** Runs each scenario with each client, on a sandbox that the scenarios of one client share. */
export function runScenarios(scenarios: readonly Scenario[], clients: Client[] = [ours, published]): void {
  describe.each(clients)('$name', (client) => {
    let sandbox: SandboxHandle;

    beforeAll(async () => {
      sandbox = await client.create({ envs: sharedEnvs, timeout: 900 });
    });

    afterAll(async () => {
      await sandbox?.kill();
    });

    for (const scenario of scenarios) {
      const reason = scenario.cannot?.[client.name] ?? missing(scenario);
      const define = scenario.slow === true ? test.concurrent : test;
      define(scenario.name, async ({ skip }) => {
        if (reason !== undefined) skip(reason);
        await scenario.run({ client, sandbox });
      });
    }
  });
}

function missing(scenario: Scenario): string | undefined {
  return scenario.tenants === true && secondKey === '' ? 'OPENCOMPUTER_SECOND_API_KEY is not set' : undefined;
}
