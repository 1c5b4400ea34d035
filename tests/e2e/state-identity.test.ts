import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clockErrorMs } from '../support/guest-clock.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { TestWorker } from '../support/worker.ts';

const secrets = [
  'head -c 64 /dev/urandom | od -An -v -tx1 | tr -d " \\n"; echo',
  'python3 -c "import os; print(os.urandom(64).hex())"',
  `node -e 'console.log(require("node:crypto").randomBytes(64).toString("hex"))'`,
  'openssl rand -hex 64',
  'cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id',
].join('; ');

const hourMs = 3_600_000;

describe('a machine', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('that is forked has siblings with other random bytes, machine-ids and hostnames', async () => {
    const origin = await worker.create();
    const { id: snapshot } = await origin.snapshot();
    const forks = await Promise.all(Array.from({ length: 3 }, () => worker.create({ snapshot })));
    const family: TestMachine[] = [origin, ...forks];
    const told = await Promise.all(
      family.map((machine) => machine.output(`cat /etc/machine-id; hostname; ${secrets}`)),
    );
    const values = told.flatMap((text) => text.split('\n'));
    expect(values).toHaveLength(8 * family.length);
    expect(new Set(values).size).toBe(values.length);
    for (const [index, machine] of family.entries()) {
      const [machineId, hostname, ...random] = told[index]?.split('\n') ?? [];
      expect(machineId).toMatch(/^[0-9a-f]{32}$/);
      expect(hostname).toBe(machine.id);
      for (const bytes of random.slice(0, 4)) expect(bytes).toMatch(/^[0-9a-f]{128}$/);
    }
    for (const machine of family) await machine.delete();
    await worker.deleteSnapshot(snapshot);
  });

  it('has the right time after an hour in which it did not run, on every way back', async () => {
    const machine = await worker.create();
    expect(await clockErrorMs(machine)).toBeLessThan(100);
    // What it would believe had the hour passed while it was saved.
    const sleepAnHour = () => machine.output('date -s "1 hour ago" > /dev/null');
    await sleepAnHour();
    expect(await clockErrorMs(machine)).toBeGreaterThan(hourMs - 60_000);
    await machine.hibernate();
    await machine.wake();
    expect(await clockErrorMs(machine)).toBeLessThan(100);

    await sleepAnHour();
    const { id: snapshot } = await machine.snapshot();
    expect(await clockErrorMs(machine)).toBeLessThan(100);
    const fork = await worker.create({ snapshot });
    expect(await clockErrorMs(fork)).toBeLessThan(100);
    await machine.restore(snapshot);
    expect(await clockErrorMs(machine)).toBeLessThan(100);
    await fork.delete();
    await machine.delete();
    await worker.deleteSnapshot(snapshot);
  });
});
