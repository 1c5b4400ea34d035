import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { testJailer } from '../testing/jailer.ts';
import { scratchDirectory } from '../testing/scratch.ts';
import { assembleCounter, CounterMachine, missingTools } from './testing/counter.ts';

const execute = promisify(execFile);
const uid = 345_678;
const bare = ['--clear-groups', '--no-new-privs', '--bounding-set=-all', '--'];
const obstacle = (await missingTools()) ?? (process.getuid?.() === 0 ? undefined : 'a namespace needs root');

test.skipIf(obstacle !== undefined)(
  'a machine saved with a tap that QEMU opened goes on, in a jail, with one that is passed to it',
  { timeout: 120_000 },
  async () => {
    const directory = await scratchDirectory();
    const bootImage = await assembleCounter(directory);
    const namespace = `oc-test-${process.pid}`;
    await execute('ip', ['netns', 'add', namespace]);
    onTestFinished(async () => void (await execute('ip', ['netns', 'del', namespace])));
    for (const tap of ['tap0', 'tap1'])
      await execute('ip', [
        '-n',
        namespace,
        'tuntap',
        'add',
        tap,
        'mode',
        'tap',
        'user',
        String(uid),
        'vnet_hdr',
      ]);
    const host = { accelerator: 'tcg', cpuModel: 'max,-erms,-fsrm', bootImage } as const;
    const network = (netdev: string): string[] => ['-netdev', `tap,id=net0,${netdev}`];
    const networkPath = `/run/netns/${namespace}`;

    const before = await CounterMachine.start(join(directory, 'before'), host, undefined, {
      network: network('ifname=tap0,script=no,downscript=no'),
      // As older releases did, which had no jail under emulation.
      wrapper: {
        command: [
          'nsenter',
          `--net=${networkPath}`,
          '--',
          'setpriv',
          `--reuid=${uid}`,
          `--regid=${uid}`,
          ...bare,
        ],
        uid,
      },
    });
    await before.countsBeyond(0);
    await before.stop();
    const count = await before.count();
    const saved = await before.save();
    await execute('chmod', ['666', saved.ram]);

    const tap = { name: 'tap1', descriptor: 6 };
    const after = await CounterMachine.start(join(directory, 'after'), host, saved, {
      network: network('fd=6'),
      jail: { jailer: await testJailer(), uid, internet: false, networkPath, tap },
    });
    await after.countsBeyond(count);
    const { pid } = after.launched.process.identity;
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    expect(status).toMatch(new RegExp(`^Uid:\\t${uid}\\t`, 'm'));
    const { stdout } = await execute('ip', ['-n', namespace, '-d', 'link', 'show', 'tap1']);
    expect(stdout).toContain('tap1');
  },
);
