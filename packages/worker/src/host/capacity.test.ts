import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Capacity, admit, defaultCapacity, settlingMs } from './capacity.ts';
import type { AdmissionRequest, CapacityConfig } from './capacity.ts';
import { memoryFloorMB, startingMemoryMB } from './admission.ts';
import type { HostReadings } from './readings.ts';

const host: HostReadings = { memoryTotalMB: 10_000, memoryAvailableMB: 8000, diskFreeMB: 50_000 };
const none = { machines: 0, committedMB: 0, startingMemoryMB: 0, startingDiskMB: 0 };

function request(changes: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return { memoryMB: 512, diskMB: 100, host, config: defaultCapacity, current: none, ...changes };
}

describe('admission', () => {
  test('takes a machine where there is room', () => {
    expect(admit(request())).toEqual({ ok: true });
  });

  test('stops at the number of machines', () => {
    const config = { ...defaultCapacity, maxMachines: 3 };
    expect(admit(request({ config, current: { ...none, machines: 2 } })).ok).toBe(true);
    expect(admit(request({ config, current: { ...none, machines: 3 } }))).toMatchObject({
      code: 'no_capacity',
      limit: 'machines',
      message: 'This host already has 3 machines; its limit is 3.',
    });
  });

  test('commits four times the memory of the host, and not 1 MB more', () => {
    expect(admit(request({ current: { ...none, committedMB: 40_000 - 512 } })).ok).toBe(true);
    expect(admit(request({ current: { ...none, committedMB: 40_001 - 512 } }))).toMatchObject({
      limit: 'committed_memory',
      message: expect.stringContaining('40001 MB'),
    });
  });

  test('leaves the floor of memory alone: 512 MB, or 5 % where that is more', () => {
    // 64 + 512 / 4 for the machine itself.
    const withAvailable = (memoryAvailableMB: number, memoryTotalMB: number) =>
      admit(request({ host: { ...host, memoryTotalMB, memoryAvailableMB } }));
    expect(withAvailable(512 + 192, 8000).ok).toBe(true);
    expect(withAvailable(512 + 191, 8000)).toMatchObject({ limit: 'available_memory' });
    expect(withAvailable(1000 + 192, 20_000).ok).toBe(true);
    expect(withAvailable(1000 + 191, 20_000)).toMatchObject({ limit: 'available_memory' });
    const config = { ...defaultCapacity, memoryFloorMB: 100 };
    expect(admit(request({ config, host: { ...host, memoryAvailableMB: 292 } })).ok).toBe(true);
  });

  test('counts what machines that are starting will take', () => {
    const current = { ...none, startingMemoryMB: 8000 - 512 - 192 };
    expect(admit(request({ current })).ok).toBe(true);
    expect(
      admit(request({ current: { ...current, startingMemoryMB: current.startingMemoryMB + 1 } })),
    ).toMatchObject({
      limit: 'available_memory',
    });
  });

  test('leaves the floor of disk alone, which configuration can only raise', () => {
    const withFree = (diskFreeMB: number, minFreeDiskMB: number, startingDiskMB = 0) =>
      admit(
        request({
          host: { ...host, diskFreeMB },
          config: { ...defaultCapacity, minFreeDiskMB },
          current: { ...none, startingDiskMB },
        }),
      );
    expect(withFree(2148, 0).ok).toBe(true);
    expect(withFree(2147, 0)).toMatchObject({
      limit: 'disk',
      hint: expect.stringContaining('Free disk space'),
    });
    expect(withFree(5100, 5000).ok).toBe(true);
    expect(withFree(5099, 5000)).toMatchObject({ limit: 'disk' });
    expect(withFree(5149, 5000, 50)).toMatchObject({ limit: 'disk' });
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, -1])('%d is no amount of memory', (memoryMB) => {
    expect(() => admit(request({ memoryMB }))).toThrow(RangeError);
    expect(() => admit(request({ host: { ...host, memoryAvailableMB: memoryMB } }))).toThrow(
      'memoryAvailableMB',
    );
  });
});

/** The capacity of a host that does not change, with a clock that the test sets. */
function fixedCapacity(readings: HostReadings, config: CapacityConfig = defaultCapacity) {
  const clock = { now: 0 };
  return { clock, capacity: new Capacity({ config, readings: async () => readings, now: () => clock.now }) };
}

describe('Capacity', () => {
  const demand = { memoryMB: 512, diskMB: 100 };

  test('counts a machine as starting until it has run for 30 s', async () => {
    const { capacity, clock } = fixedCapacity(host);
    await capacity.reserve('a', demand);
    const starting = { machines: 1, committedMB: 512, startingMemoryMB: 192, startingDiskMB: 100 };
    clock.now += 10 * settlingMs;
    expect(capacity.commitments()).toEqual(starting);
    capacity.started('a');
    clock.now += settlingMs - 1;
    capacity.started('a');
    expect(capacity.commitments()).toEqual(starting);
    clock.now += 1;
    expect(capacity.commitments()).toEqual({ ...starting, startingMemoryMB: 0, startingDiskMB: 0 });
  });

  test('gives room back once', async () => {
    const { capacity } = fixedCapacity(host, { ...defaultCapacity, maxMachines: 1 });
    expect((await capacity.reserve('a', demand)).ok).toBe(true);
    expect(await capacity.reserve('b', demand)).toMatchObject({ limit: 'machines' });
    expect(capacity.release('a')).toBe(true);
    expect(capacity.release('a')).toBe(false);
    expect((await capacity.reserve('b', demand)).ok).toBe(true);
  });

  test('takes in machines that run already, also beyond the limits', async () => {
    const { capacity } = fixedCapacity(host, { ...defaultCapacity, maxMachines: 1 });
    capacity.adopt('a', 30_000);
    capacity.adopt('b', 30_000);
    expect(capacity.commitments()).toEqual({ ...none, machines: 2, committedMB: 60_000 });
    expect((await capacity.reserve('c', demand)).ok).toBe(false);
  });

  test('refuses to count one machine twice, or one that it does not know', async () => {
    const { capacity } = fixedCapacity(host);
    await capacity.reserve('a', demand);
    await expect(capacity.reserve('a', demand)).rejects.toThrow('has reserved capacity already');
    expect(() => capacity.adopt('a', 1)).toThrow('has reserved capacity already');
    expect(() => capacity.started('b')).toThrow('machine b has no reserved capacity');
    expect(capacity.commitments().machines).toBe(1);
  });

  test('reserves nothing when the readings fail', async () => {
    const readings = () => Promise.reject(new Error('no meminfo'));
    const capacity = new Capacity({ config: defaultCapacity, readings });
    await expect(capacity.reserve('a', demand)).rejects.toThrow('no meminfo');
    expect(capacity.commitments()).toEqual(none);
  });

  test('of a hundred creates at once, those are let in that fit', async () => {
    const { capacity } = fixedCapacity(host);
    const names = Array.from({ length: 100 }, (_, index) => `m${index}`);
    const decisions = await Promise.all(names.map((name) => capacity.reserve(name, demand)));
    // (8000 - 512) / 192
    expect(decisions.filter(({ ok }) => ok)).toHaveLength(39);
  });
});

/** A simulated host: machines take what they are expected to take 30 s after their start, other programs come and go. */
describe('whatever the order', () => {
  const configs: CapacityConfig[] = [0.5, 4].map((memoryOvercommit) => ({
    memoryOvercommit,
    minFreeDiskMB: 2048,
    maxMachines: 12,
  }));
  /** Other programs take some, so that each limit is reached in some runs. */
  const totals = { memoryMB: 8192, othersMB: 5000, diskMB: 8192 };

  const command = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('reserve' as const),
        demands: fc.array(
          fc.record({
            memoryMB: fc.integer({ min: 128, max: 4096 }),
            diskMB: fc.integer({ min: 0, max: 2048 }),
          }),
          {
            minLength: 1,
            maxLength: 6,
          },
        ),
        delays: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 6, maxLength: 6 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('start' as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat() }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
    },
  );

  test('machines never take more than there is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...configs),
        fc.array(command, { maxLength: 40 }),
        async (config, commands) => {
          let now = 0;
          let count = 0;
          let delays: number[] = [];
          const live = new Map<string, { memoryMB: number; diskMB: number; startedAt?: number }>();
          const sumOf = (
            amount: (machine: { memoryMB: number; diskMB: number }) => number,
            settledOnly: boolean,
          ): number =>
            [...live.values()]
              .filter(
                ({ startedAt }) => !settledOnly || (startedAt !== undefined && now >= startedAt + settlingMs),
              )
              .reduce((total, machine) => total + amount(machine), 0);
          const takes = ({ memoryMB }: { memoryMB: number }): number => startingMemoryMB(memoryMB);
          const capacity = new Capacity({
            config,
            now: () => now,
            readings: async () => {
              // Some readings take longer than others, so that decisions interleave.
              for (let turn = delays.shift() ?? 0; turn > 0; turn -= 1) await Promise.resolve();
              return {
                memoryTotalMB: totals.memoryMB,
                memoryAvailableMB: totals.memoryMB - totals.othersMB - sumOf(takes, true),
                diskFreeMB: totals.diskMB - sumOf(({ diskMB }) => diskMB, true),
              };
            },
          });
          for (const step of commands) {
            const names = [...live.keys()];
            if (step.kind === 'reserve') {
              delays = [...step.delays];
              await Promise.all(
                step.demands.map(async (demand) => {
                  const name = `m${(count += 1)}`;
                  if ((await capacity.reserve(name, demand)).ok) live.set(name, demand);
                }),
              );
            } else if (step.kind === 'wait') now += step.ms;
            else if (names.length > 0) {
              const name = names[step.pick % names.length] ?? '';
              const machine = live.get(name);
              if (step.kind === 'release')
                expect([capacity.release(name), live.delete(name)]).toEqual([true, true]);
              else if (machine !== undefined) {
                capacity.started(name);
                machine.startedAt ??= now;
              }
            }
            const committedMB = sumOf(({ memoryMB }) => memoryMB, false);
            expect(capacity.commitments()).toMatchObject({ machines: live.size, committedMB });
            expect(live.size).toBeLessThanOrEqual(config.maxMachines);
            expect(committedMB).toBeLessThanOrEqual(config.memoryOvercommit * totals.memoryMB);
            expect(totals.memoryMB - totals.othersMB - sumOf(takes, false)).toBeGreaterThanOrEqual(
              memoryFloorMB(config, totals.memoryMB),
            );
            expect(totals.diskMB - sumOf(({ diskMB }) => diskMB, false)).toBeGreaterThanOrEqual(
              config.minFreeDiskMB,
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
