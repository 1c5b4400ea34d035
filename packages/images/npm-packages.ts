import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from './command.ts';
import type { CommandContext } from './command.ts';

/** A package of the npm registry, pinned with the registry's `dist.integrity`. */
export type NpmPackage = { name: string; version: string; integrity: string };

/** Reads a list of pinned packages. @throws Error naming the entry that is not pinned as it must be */
export function parseNpmPackages(text: string): NpmPackage[] {
  return (JSON.parse(text) as { package?: string; integrity?: string }[]).map((entry) => {
    const parts = /^((?:@[a-z0-9-]+\/)?[a-z0-9-]+)@(\d+\.\d+\.\d+)$/.exec(entry.package ?? '');
    const { integrity = '' } = entry;
    if (parts === null || !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity))
      throw new Error(`not a package with an exact version and its integrity: ${JSON.stringify(entry)}`);
    return { name: parts[1] ?? '', version: parts[2] ?? '', integrity };
  });
}

/**
 * Fetches packages and unpacks them as a `node_modules` folder, without what they depend on. The host's npm does
 * it: its registry, proxy and certificates apply.
 * @throws Error when a package is not the pinned one
 */
export async function fetchNpmPackages(
  context: CommandContext,
  list: string,
  nodeModules: string,
): Promise<void> {
  const packages = parseNpmPackages(readFileSync(list, 'utf8'));
  await Promise.all(packages.map((pinned) => fetchPackage(context, pinned, nodeModules)));
}

async function fetchPackage(
  context: CommandContext,
  { name, version, integrity }: NpmPackage,
  nodeModules: string,
): Promise<void> {
  const target = path.join(nodeModules, name);
  await mkdir(target, { recursive: true });
  const args = ['pack', '--silent', `${name}@${version}`, '--pack-destination', nodeModules];
  const file = path.join(nodeModules, (await runCommand(context, 'npm', args)).trim());
  const found = `sha512-${createHash('sha512')
    .update(await readFile(file))
    .digest('base64')}`;
  if (found !== integrity) {
    throw new Error(`${name}@${version} from the registry is not the pinned one: its integrity is ${found}`);
  }
  await runCommand(context, 'tar', [
    '-x',
    '--no-same-owner',
    '--strip-components=1',
    '-C',
    target,
    '-f',
    file,
  ]);
  await rm(file);
}
