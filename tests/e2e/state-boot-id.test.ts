import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import type { TestMachine } from '../support/test-machine.ts';
import { TestWorker } from '../support/worker.ts';

const bootId = (machine: TestMachine): Promise<string> =>
  machine.output('cat /proc/sys/kernel/random/boot_id');

/** A /proc in a namespace of a user, as bubblewrap and rootless podman mount it. */
const procOfOwn = 'unshare --user --map-root-user --pid --fork --mount-proc cat /proc/self/status | head -1';

/** Writes numbered lines by two ways, each also into a file that tells what was written. */
const writers = [
  ['spoken', 'echo "spoken $i"'],
  ['logged', 'logger "logged $i"'],
] as const;
const startWriters = writers
  .map(
    ([name, write]) =>
      `systemd-run --quiet --unit=${name} bash -c ${quoted(
        `for ((i = 1; ; i++)); do ${write}; echo "${name} $i" >> /root/${name}; sleep 0.1; done`,
      )}`,
  )
  .join('; ');

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Lines of the journal that a writer has written, of all boots or of the present one. */
async function inJournal(machine: TestMachine, name: string, boot: 'all' | '0' = 'all'): Promise<string[]> {
  const text = await machine.output(`journalctl --boot=${boot} --quiet --no-pager --output=cat`);
  return text.split('\n').filter((line) => line.startsWith(`${name} `));
}

const numberOf = (line: string | undefined): number => Number(line?.split(' ')[1]);

/** Stops the writers, and demands that each of their lines is in the journal once. */
async function expectAllLines(machine: TestMachine): Promise<void> {
  await machine.output(`systemctl stop ${writers.map(([name]) => name).join(' ')}`);
  for (const [name] of writers) {
    const written = (await machine.output(`cat /root/${name}`)).split('\n');
    // The one that it was stopped in may be in the journal alone.
    const found = await eventually(`the last line that was ${name}`, async () => {
      const lines = await inJournal(machine, name);
      return lines.some((line) => numberOf(line) >= written.length) ? lines : undefined;
    });
    const numbers = found.map(numberOf).toSorted((one, other) => one - other);
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => index + 1));
    expect(numbers.length - written.length).toBeLessThanOrEqual(1);
  }
}

describe('a machine', () => {
  let worker: TestWorker;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());

  it('has a boot id of its own as a sibling, a fork and a fork of that, and keeps it else', async () => {
    const [machine, sibling] = await Promise.all([worker.create(), worker.create()]);
    const own = await bootId(machine);
    expect(own).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    // A namespace made before, that gets no mounts any more.
    await machine.output('unshare --mount --propagation private sleep 10000 & echo $! > /root/namespace');
    const { id: snapshot } = await machine.snapshot();
    const fork = await worker.create({ snapshot });
    const { id: second } = await fork.snapshot();
    const forkOfFork = await worker.create({ snapshot: second });
    const ids = await Promise.all([machine, sibling, fork, forkOfFork].map(bootId));
    expect(ids[0]).toBe(own);
    expect(new Set(ids).size).toBe(ids.length);
    const inNamespace = 'nsenter --mount --target $(cat /root/namespace) cat /proc/sys/kernel/random/boot_id';
    expect(await forkOfFork.output(inNamespace)).toBe(ids[3]);
    expect(await fork.output('echo x > /proc/sys/kernel/random/boot_id || echo refused')).toBe('refused');

    await fork.hibernate();
    await fork.wake();
    expect(await bootId(fork)).toBe(ids[2]);
    await machine.restore(snapshot);
    expect(await bootId(machine)).toBe(own);
    for (const one of [machine, sibling, fork, forkOfFork]) {
      expect(await one.output(procOfOwn, 'sandbox')).toContain('Name:');
      await one.delete();
    }
    for (const id of [snapshot, second]) await worker.deleteSnapshot(id);
  });

  it('loses no line of its journal when it is forked, and shows those of its present boot', async () => {
    const machine = await worker.create();
    await machine.output(startWriters);
    await eventually('the first lines', async () => {
      const lines = await Promise.all(writers.map(([name]) => inJournal(machine, name, '0')));
      return lines.every(({ length }) => length > 3);
    });
    const { id: snapshot } = await machine.snapshot();
    const fork = await worker.create({ snapshot });
    await fork.output('logger at-once; journalctl --follow --quiet --output=cat > /root/followed & true');
    for (const [name] of writers)
      await eventually(
        `what is ${name} in the present boot`,
        async () => (await inJournal(fork, name, '0')).length > 20,
        { everyMs: 1000 },
      );
    await fork.output('logger at-last');
    await eventually('the last line for who follows', async () => {
      const followed = await fork.output('cat /root/followed');
      return writers.every(([name]) => followed.includes(`${name} `)) && followed.includes('at-last');
    });
    expect(await fork.output('journalctl --quiet --boot=all --output=cat --grep="^at-once$"')).toBe(
      'at-once',
    );
    await expectAllLines(fork);
    await expectAllLines(machine);
    // Only what is in the directory of its own id is bounded.
    expect(await fork.output('ls /run/log/journal')).toBe(await fork.output('cat /etc/machine-id'));
    expect(await fork.output('journalctl --verify 2>&1 | grep -c FAIL || true')).toBe('0');
    await fork.delete();
    await machine.delete();
    await worker.deleteSnapshot(snapshot);
  });
});
