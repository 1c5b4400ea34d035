import { describe, expect, test } from 'vitest';
import { guestStats } from '../../guest/index.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import { CountingHost, id, nothing, prepareCountingHosts, spec } from './testing/counting-host.ts';
import { templateMark } from './testing/counter-template.ts';

const other = 'sb-89abcdef';

describe.skipIf((await missingTools()) !== undefined)('changes', () => {
  prepareCountingHosts();

  test('of one machine follow each other in the order in which they were asked for', async () => {
    const host = await CountingHost.open();
    const order: string[] = [];
    const noted = (name: string, change: Promise<unknown>): Promise<unknown> =>
      change.finally(() => order.push(name));
    await Promise.all([
      noted('create', host.changes.create(id, spec)),
      noted('hibernate', host.changes.hibernate(id)),
      noted('wake', host.changes.wake(id)),
      noted('reboot', host.changes.reboot(id, true)),
      noted('delete', host.changes.delete(id)),
    ]);
    expect(order).toEqual(['create', 'hibernate', 'wake', 'reboot', 'delete']);
    expect(await host.inUse()).toEqual(nothing);
  });

  test('of different machines do not wait for each other, nor for one that stands still', async () => {
    const host = await CountingHost.open();
    await host.stopAt('create:files', () => host.changes.create(id, spec));
    await host.changes.create(other, spec);
    expect((await host.says(host.machine(other))).memory).toBe(templateMark);
  });

  test('that failed do not keep the next from being made', async () => {
    const host = await CountingHost.open();
    const mend = host.failAt('create:loaded');
    const first = failureOf(host.changes.create(id, spec));
    await first;
    mend();
    await Promise.all([failureOf(host.changes.restore(id, other)), host.changes.create(id, spec)]);
    expect(host.registry.info(id)).toMatchObject({ state: 'running' });
  });

  test('make calls wait, and let them know what has become of the machine', async () => {
    const host = await CountingHost.open();
    await host.create();
    let called: Promise<Error> | undefined;
    host.at('hibernate:stopped', () => {
      called = failureOf(host.registry.call(id, guestStats));
    });
    await host.changes.hibernate(id);
    expect(await called).toMatchObject({ code: 'hibernated' });
    expect(host.trace.filter((entry) => entry.startsWith('guest'))).toHaveLength(1);
  });

  test.each(['hibernate', 'wake', 'restore'] as const)(
    '%s says that there is no such machine',
    async (name) => {
      const host = await CountingHost.open();
      const change = name === 'restore' ? host.changes.restore(id, other) : host.changes[name](id);
      expect(await failureOf(change)).toMatchObject({ code: 'sandbox_not_found' });
      expect(await host.inUse()).toEqual(nothing);
    },
  );
});
