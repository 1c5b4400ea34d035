import { afterAll, beforeAll, describe, test } from 'vitest';
import { secondKey } from './raw-api.ts';
import { sharedEnvs } from './scenarios/scenario.ts';
import type { Client, SandboxHandle } from './clients/client.ts';
import type { Scenario } from './scenarios/scenario.ts';

/**
 * Runs scenarios with a client, on a sandbox that they share: one after the other, and beside them all the while
 * those that mostly wait. Clients run side by side, each in a file of its own.
 */
export function runScenarios(client: Client, groups: Record<string, readonly Scenario[]>): void {
  let sandbox: SandboxHandle;
  const waiting = new Map<Scenario, Promise<void>>();

  beforeAll(async () => {
    sandbox = await client.create({ envs: sharedEnvs, timeout: 900 });
    for (const scenario of Object.values(groups).flat()) {
      if (scenario.slow !== true || reasonAgainst(scenario, client) !== undefined) continue;
      const run = scenario.run({ client, sandbox });
      // Its test tells.
      run.catch(() => undefined);
      waiting.set(scenario, run);
    }
  });

  afterAll(async () => {
    await sandbox?.kill();
    await client.stop?.();
  });

  const define = (title: string, scenarios: Scenario[]) =>
    describe(`${client.name}: ${title}`, () => {
      for (const scenario of scenarios)
        test(scenario.name, async ({ skip }) => {
          const reason = reasonAgainst(scenario, client);
          if (reason !== undefined) skip(reason);
          await (waiting.get(scenario) ?? scenario.run({ client, sandbox }));
        });
    });

  for (const [title, scenarios] of Object.entries(groups))
    define(
      title,
      scenarios.filter(({ slow }) => slow !== true),
    );
  const slow = Object.values(groups)
    .flat()
    .filter((scenario) => scenario.slow === true);
  if (slow.length > 0) define('what mostly waits', slow);
}

function reasonAgainst({ cannot, tenants, expensive }: Scenario, client: Client): string | undefined {
  if (expensive === true && client.name === 'ours-python-sync')
    return 'expensive: the asynchronous form shows it';
  const missing = tenants === true && secondKey === '' ? 'OPENCOMPUTER_SECOND_API_KEY is not set' : undefined;
  return cannot?.[client.name] ?? cannot?.[client.origin] ?? missing;
}
