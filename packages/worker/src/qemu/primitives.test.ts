import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { scratchDirectory } from '../testing/scratch.ts';
import { saveDevices } from './devices.ts';
import {
  assembleCounter,
  CounterMachine,
  type CounterSnapshot,
  counterAddress,
  memoryMB,
  missingTools,
  trailAddress,
  trailBytes,
} from './testing/counter.ts';

// Save, restore and fork of machines with a tiny guest, which runs under any KVM and under emulation.
const page = 4096;
const bootMs = 240_000;
/** The processor of a PC sees ROM at these addresses, which QEMU changes while it loads, and not the RAM below. */
const romStart = 0xa0000;
const romEnd = 0x100000;
/** Where the page of the generation id holds it (docs/specs/vmgenid.rst of QEMU). */
const idOffset = 40;
const missing = await missingTools();

let shared = '';
let bootImage = '';

beforeAll(async () => {
  if (missing !== undefined) return;
  shared = await mkdtemp(join(tmpdir(), 'opencomputer-counter-'));
  bootImage = await assembleCounter(shared);
});

afterAll(async () => {
  if (shared !== '') await rm(shared, { recursive: true, force: true });
});

const hosts = [
  // Without a register that some hosts lack; the guest does not need it.
  { accelerator: 'kvm', cpuModel: 'host,-arch-capabilities' },
  { accelerator: 'tcg', cpuModel: 'max,-erms,-fsrm' },
] as const;

async function hashOf(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

function countIn(ram: Buffer): number {
  return ram.readUInt32LE(counterAddress);
}

describe.each(hosts)('under $accelerator', { timeout: 2 * bootMs }, (model) => {
  /** Why this host cannot run the guest this way. */
  let obstacle = missing;
  if (model.accelerator === 'kvm' && !existsSync('/dev/kvm')) obstacle ??= 'there is no /dev/kvm';

  function needGuest(context: TestContext): void {
    if (obstacle === undefined) return;
    process.stderr.write(`skipped under ${model.accelerator}: ${obstacle}\n`);
    context.skip(obstacle);
  }

  const host = () => ({ ...model, bootImage });

  interface Template extends CounterSnapshot {
    /** The counter while the machine ran, and after it was paused. */
    printed: string;
    count: number;
    trail: Buffer;
  }

  /** A template: a machine that booted on a shared RAM file, paused. The file is its memory image. */
  async function makeTemplate(): Promise<Template> {
    const machine = await CounterMachine.start(join(shared, model.accelerator), host());
    // Some nested KVM is slow in running a BIOS.
    await machine.countsBeyond(20_000);
    const printed = await machine.printed();
    await machine.stop();
    const [count, trail] = [await machine.count(), await machine.memory(trailAddress, trailBytes)];
    const devices = join(machine.directory, 'devices');
    await saveDevices(machine.launched.qmp, machine.directory, undefined);
    await machine.quit();
    return { ram: machine.ram, devices, printed, count, trail };
  }

  // Booted once; every test restores from it.
  let made: Promise<Template> | undefined;
  const template = (): Promise<Template> => (made ??= makeTemplate());

  const restore = (directory: string, name: string, from: CounterSnapshot): Promise<CounterMachine> =>
    CounterMachine.start(join(directory, name), host(), from);

  test('boots, counts, prints, and its RAM is the file', async (context) => {
    needGuest(context);
    if (model.accelerator === 'kvm')
      await template().catch((error: unknown) => {
        // A KVM that runs nothing is a fault of the host; under emulation the guest is tested all the same.
        obstacle = `the KVM of this host does not run the guest: ${(error as Error).message}`;
      });
    needGuest(context);
    const { ram, printed, count, trail } = await template();
    expect(printed).toMatch(/[a-p]{2}/);
    const bytes = await readFile(ram);
    expect(bytes.length).toBe(memoryMB * 1024 * 1024);
    expect(countIn(bytes)).toBe(count);
    expect(bytes.subarray(trailAddress, trailAddress + trailBytes).equals(trail)).toBe(true);
  });

  test('a restored machine goes on where the saved one stood, and the image stays as it was', async (context) => {
    needGuest(context);
    const directory = await scratchDirectory();
    const from = await template();
    const image = await hashOf(from.ram);
    const machine = await restore(directory, 'clone', from);
    const count = await machine.countsBeyond(from.count);
    expect(count - from.count).toBeLessThan(2 ** 31);
    await machine.countsBeyond(count + 50_000);
    expect(await hashOf(from.ram)).toBe(image);
  });

  test('a save holds every byte of the stopped instant, and counts only what was written', async (context) => {
    needGuest(context);
    const directory = await scratchDirectory();
    const from = await template();
    const machine = await restore(directory, 'clone', from);
    await machine.countsBeyond(from.count + 50_000);
    await machine.stop();
    const live = await machine.memory(0, memoryMB * 1024 * 1024);
    const saved = await machine.save();
    const bytes = await readFile(saved.ram);
    expect(bytes.subarray(0, romStart).equals(live.subarray(0, romStart))).toBe(true);
    expect(bytes.subarray(romEnd).equals(live.subarray(romEnd))).toBe(true);

    const before = await readFile(from.ram);
    let different = 0;
    for (let at = 0; at < bytes.length; at += page)
      if (!bytes.subarray(at, at + page).equals(before.subarray(at, at + page))) different++;
    // The counter's page and the trail. Other pages may be listed, too: written, with the same content.
    expect(different).toBeGreaterThanOrEqual(1 + trailBytes / page);
    expect(saved.changed).toBeGreaterThanOrEqual(different * page);
    expect(saved.changed).toBeLessThan(100 * page);
    expect(await machine.count()).toBe(countIn(bytes));
  });

  test('a restored machine that has not run yet has the memory of the save, byte by byte, and an id of its own', async (context) => {
    needGuest(context);
    const directory = await scratchDirectory();
    const machine = await restore(directory, 'clone', await template());
    await machine.countsBeyond((await template()).count);
    await machine.stop();
    const live = await machine.memory(0, memoryMB * 1024 * 1024);
    const saved = await machine.save();
    // The original runs on; its copy must not see that.
    await machine.launched.qmp.run('cont');
    await machine.countsBeyond(countIn(live));
    const twin = await CounterMachine.start(join(directory, 'twin'), host(), saved, { paused: true });
    const theirs = await twin.memory(0, memoryMB * 1024 * 1024);
    const differing: number[] = [];
    for (let at = 0; at < live.length; at = at + page === romStart ? romEnd : at + page)
      if (!theirs.subarray(at, at + page).equals(live.subarray(at, at + page))) differing.push(at);
    // All but the generation id, which tells a guest that it is a copy.
    expect(differing).toHaveLength(1);
    const [at = 0] = differing;
    const withoutId = (memory: Buffer): Buffer =>
      Buffer.concat([memory.subarray(at, at + idOffset), memory.subarray(at + idOffset + 16, at + page)]);
    expect(withoutId(theirs).equals(withoutId(live))).toBe(true);
    await twin.launched.qmp.run('cont');
    await twin.countsBeyond(countIn(live));
  });

  test('two forks of one save count on apart from each other, and so do forks of a fork', async (context) => {
    needGuest(context);
    const directory = await scratchDirectory();
    const from = await template();
    const image = await hashOf(from.ram);
    const [left, right] = await Promise.all(['left', 'right'].map((name) => restore(directory, name, from)));
    if (left === undefined || right === undefined) throw new Error('two forks were asked for');
    await Promise.all([left.countsBeyond(from.count), right.countsBeyond(from.count)]);

    await left.stop();
    const leftCount = await left.count();
    await right.countsBeyond(await right.count());
    expect(await left.count()).toBe(leftCount);

    const saved = await left.save();
    const savedImage = await hashOf(saved.ram);
    const inner = await Promise.all(['inner-1', 'inner-2'].map((name) => restore(directory, name, saved)));
    for (const fork of inner) await fork.countsBeyond(leftCount);
    expect(await left.count()).toBe(leftCount);

    const [deep] = inner;
    if (deep === undefined) throw new Error('two forks were asked for');
    await deep.stop();
    const again = await deep.save();
    expect(countIn(await readFile(again.ram))).toBeGreaterThan(leftCount);
    expect(await hashOf(from.ram)).toBe(image);
    expect(await hashOf(saved.ram)).toBe(savedImage);
  });

  test('twenty times saved and restored, the count never goes back', async (context) => {
    needGuest(context);
    const directory = await scratchDirectory();
    let from: CounterSnapshot = await template();
    let count = countIn(await readFile(from.ram));
    for (let cycle = 0; cycle < 20; cycle++) {
      const machine = await restore(directory, `cycle-${cycle}`, from);
      await machine.countsBeyond(count);
      await machine.stop();
      const stopped = await machine.count();
      from = await machine.save();
      await machine.quit();
      const ram = await readFile(from.ram);
      expect(countIn(ram)).toBe(stopped);
      expect(stopped).toBeGreaterThan(count);
      // The last entry of its trail is the count, or the one before it if it was paused between the two writes.
      const last = ram.readUInt32LE(trailAddress + ((stopped * 4) & 0xfffc));
      expect([stopped, stopped - trailBytes / 4]).toContain(last);
      count = stopped;
    }
    expect((await stat(from.ram)).size).toBe(memoryMB * 1024 * 1024);
  });
});
