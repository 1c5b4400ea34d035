import { readdir, readlink } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { run } from './run.ts';
import { Lab, needsRoot } from './testing/lab.ts';

describe.skipIf(needsRoot)('the network of a test file', () => {
  test('is not that of the host, and begins empty', async () => {
    expect(await readlink('/proc/self/ns/net')).not.toBe(await readlink(`/proc/${process.ppid}/ns/net`));
    expect(await readdir('/sys/class/net')).toEqual(['lo']);
    expect((await run(['nft', 'list', 'ruleset'])).stdout).toBe('');
    expect((await run(['ip', 'netns', 'list'])).stdout).toBe('');
    expect((await run(['ip', '-4', 'route', 'show'])).stdout).toBe('');
  });

  test('is where its namespaces and rules are, and the host sees nothing of them', async () => {
    await using lab = new Lab();
    const name = await lab.namespace('seen');
    await run(['nft', 'add', 'table', 'inet', 'octest_seen']);
    const onHost = async (...command: string[]): Promise<string> =>
      (await run(['nsenter', `--target=${process.ppid}`, '--net', '--mount', '--', ...command])).stdout;
    expect((await run(['ip', 'netns', 'list'])).stdout).toContain(name);
    expect(await onHost('ip', 'netns', 'list')).not.toContain(name);
    expect((await run(['nft', 'list', 'tables'])).stdout).toContain('octest_seen');
    expect(await onHost('nft', 'list', 'tables')).not.toContain('octest_seen');
  });
});
