import { readdir } from 'node:fs/promises';
import { systemErrorCode } from '../host/errors.ts';
import { namespaceDirectory } from './names.ts';
import type { Names } from './names.ts';

async function entries(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Namespaces and links of an instance on this host: their names by slot index. */
export async function findSlots(names: Names): Promise<Map<number, string[]>> {
  const found = new Map<number, string[]>();
  for (const name of [...(await entries(namespaceDirectory)), ...(await entries('/sys/class/net'))]) {
    const index = names.indexOf(name);
    if (index !== undefined) found.set(index, [...(found.get(index) ?? []), name]);
  }
  return found;
}
