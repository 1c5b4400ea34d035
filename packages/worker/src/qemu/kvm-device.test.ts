import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { testJailer } from '../testing/jailer.ts';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { assembleCounter, CounterMachine, missingTools } from './testing/counter.ts';

const execute = promisify(execFile);
const bootMs = 60_000;
const uid = 345_678;
/** Any user that is not a machine's. */
const kvmGroup = 109;
const missing = await missingTools();
const obstacle =
  missing ??
  (process.getuid?.() === 0 ? undefined : 'a user of its own needs root') ??
  (existsSync('/dev/kvm') ? undefined : 'there is no /dev/kvm');

// Debian's udev gives /dev/kvm to a group, and machines are in none. The guest is a boot sector: it runs under any KVM.
describe.skipIf(obstacle !== undefined)('a machine under KVM', { timeout: 3 * bootMs }, () => {
  test.for([
    ['0660 root:kvm', 0o660],
    ['0600 root', 0o600],
  ] as const)('runs as a user of its own where the device of the host is %s', async ([, mode], context) => {
    const directory = await scratchDirectory();
    const bootImage = await assembleCounter(directory);
    const kvmDevice = join(directory, 'kvm');
    const { rdev } = await stat('/dev/kvm');
    await execute('mknod', [kvmDevice, 'c', String(rdev >> 8), String(rdev & 0xff)]);
    await chmod(kvmDevice, mode);
    await chown(kvmDevice, 0, kvmGroup);
    const jail = { jailer: await testJailer(), uid, internet: false };
    const host = { accelerator: 'kvm', cpuModel: 'host,-arch-capabilities', bootImage } as const;

    const without = CounterMachine.start(join(directory, 'without'), host, undefined, { jail });
    expect((await failureOf(without)).message).toContain('Could not access KVM kernel module');

    const machine = await CounterMachine.start(join(directory, 'one'), host, undefined, {
      jail: { ...jail, kvmDevice },
    });
    const { pid } = machine.launched.process.identity;
    expect((await stat(`/proc/${pid}`)).uid).toBe(uid);
    expect(await machine.launched.qmp.run('query-kvm')).toEqual({ enabled: true, present: true });
    try {
      await machine.countsBeyond(0);
    } catch (error) {
      // Some nested KVM hardly runs a BIOS; here it is enough that the device could be opened.
      context.skip(`the KVM of this host does not run the guest: ${(error as Error).message}`);
    }
    await machine.stop();
    const saved = await machine.save();
    await chmod(saved.ram, 0o666);
    const fork = await CounterMachine.start(join(directory, 'fork'), host, saved, {
      jail: { ...jail, kvmDevice },
    });
    await fork.countsBeyond(await machine.count());
  });
});
