import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { detectNetworkMode } from './detect.ts';
import type { Detection } from './detect.ts';
import { run } from './run.ts';
import { needsRoot, until } from './testing/lab.ts';

describe.skipIf(needsRoot)('what the host can do', () => {
  test('as root with all tools: namespaces, and the trial leaves nothing', async () => {
    expect(await detectNetworkMode()).toEqual({ mode: 'namespace', shortcomings: [] });
    await until('no trial is left', async () => {
      return !(await run(['ip', 'netns', 'list'])).stdout.includes('ocprobe');
    });
  });

  // So that a checkout in root's home directory can be read.
  const asNobody = [
    ...['--reuid=65534', '--clear-groups'],
    ...['--inh-caps=-all,+dac_read_search', '--ambient-caps=-all,+dac_read_search'],
  ];

  test.each([
    { left: 'no network administration', with: ['--bounding-set=-net_admin'], check: 'capabilities' },
    { left: 'no root', with: asNobody, check: 'root' },
  ])('with $left: user networking, and why', async ({ with: drop, check }) => {
    const file = pathToFileURL(join(import.meta.dirname, 'detect.ts')).href;
    const code = `import { detectNetworkMode } from '${file}'; console.log(JSON.stringify(await detectNetworkMode()));`;
    const node = [process.execPath, '--input-type=module', '-e', code];
    const { stdout } = await run(['setpriv', ...drop, '--', ...node]);
    const { mode, shortcomings } = JSON.parse(stdout) as Detection;
    expect(mode).toBe('user');
    expect(shortcomings.map((shortcoming) => shortcoming.check)).toEqual([check]);
    expect(shortcomings[0]!.fix).not.toBe('');
  });
});
