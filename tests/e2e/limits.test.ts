import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectError } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { TestPlatform } from '../support/platform.ts';

describe('a small installation', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await TestPlatform.start({
      env: {
        OPENCOMPUTER_MAX_SANDBOXES: '2',
        OPENCOMPUTER_MAX_MACHINES: '3',
        OPENCOMPUTER_MAX_CPU: '2',
        OPENCOMPUTER_MAX_MEMORY_MB: '1024',
        OPENCOMPUTER_WARM_NETWORKS: '1',
      },
    });
  });
  afterAll(() => platform?.destroy());

  test('refuses shapes above its own ceilings, and names them', async () => {
    const create = (json: object) => platform.api.call('POST', '/api/sandboxes', { json });
    expectError(await create({ cpuCount: 3 }), 400, 'invalid_request', /cpuCount must not exceed 2/);
    expectError(await create({ memoryMB: 2048 }), 400, 'invalid_request', /memoryMB must not exceed 1024/);
    expect(await platform.api.list()).toEqual([]);
  });

  test('refuses one sandbox more than a key may have, and one more than the host takes', async () => {
    const { api } = platform;
    const first = await api.create();
    await api.create();
    const refused = await api.call('POST', '/api/sandboxes', { json: {} });
    expectError(refused, 429, 'too_many_sandboxes');
    expect(refused.body).toMatchObject({ active: 2, limit: 2 });

    const other = Object.assign(platform.api, { key: await platform.addKey('other', 'other-owner') });
    const third = await other.create();
    const full = await other.call('POST', '/api/sandboxes', { json: {} });
    expectError(full, 503, 'no_capacity', /3 machines/);
    // What was refused leaves nothing.
    expect((await other.list('&status=all')).map(({ sandboxID }) => sandboxID)).toEqual([third.id]);
    expect(platform.traces().directories).toHaveLength(3);

    await first.delete();
    const again = await api.create();
    expect(await again.output('echo room again')).toBe('room again');
    expect(await third.output('echo undisturbed')).toBe('undisturbed');
  });

  test('many creates at once never exceed the limit', async () => {
    const { api } = platform;
    for (const { sandboxID } of await api.list()) await api.sandbox(sandboxID).delete();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => api.call('POST', '/api/sandboxes', { json: {} })),
    );
    const made = answers.filter(({ status }) => status === 201);
    expect(made).toHaveLength(2);
    for (const answer of answers) if (answer.status !== 201) expectError(answer, 429, 'too_many_sandboxes');
    await eventually('as many machines as sandboxes', async () => platform.machines().size === 3);
  });
});
