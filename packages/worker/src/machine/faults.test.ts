import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { scratchDirectory } from '../testing/scratch.ts';
import { injectFaults } from './faults.ts';
import { atStep, steps, watchSteps } from './steps.ts';

const tag = '00000000';
const id = 'sb-00000000';

afterEach(() => watchSteps(undefined));

test('a step costs nothing while nobody watches', () => {
  expect(atStep('wake:loaded', id)).toBeUndefined();
});

test('a fault happens at its step, once', async () => {
  const file = join(await scratchDirectory(), 'fault');
  injectFaults(file, tag);
  await atStep('wake:loaded', id);
  await writeFile(file, 'wake:loaded full');
  await atStep('wake:linked', id);
  expect(existsSync(file)).toBe(true);
  await expect(atStep('wake:loaded', id)).rejects.toMatchObject({ code: 'ENOSPC' });
  expect(existsSync(file)).toBe(false);
  await atStep('wake:loaded', id);
});

test('a step is held until it may go on', async () => {
  const file = join(await scratchDirectory(), 'fault');
  injectFaults(file, tag);
  await writeFile(file, 'wake:loaded hold');
  let gone = false;
  const step = atStep('wake:loaded', id)?.then(() => (gone = true));
  await vi.waitFor(() => expect(existsSync(`${file}.held`)).toBe(true));
  expect(existsSync(file)).toBe(false);
  expect(gone).toBe(false);
  await rm(`${file}.held`);
  await step;
  await atStep('wake:loaded', id);
});

test('a machine that has no process is passed over, a fault that there is not is named', async () => {
  const file = join(await scratchDirectory(), 'fault');
  injectFaults(file, tag);
  await writeFile(file, 'hibernate:stopped machine\n');
  await atStep('hibernate:stopped', id);
  expect(existsSync(file)).toBe(false);
  await writeFile(file, 'hibernate:stopped flood');
  await expect(atStep('hibernate:stopped', id)).rejects.toThrow('unknown fault: flood');
});

test('the steps of a change have names of their own', () => {
  for (const names of Object.values(steps)) expect(new Set(names).size).toBe(names.length);
});
