import { readFileSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from './command.ts';
import { writeCpio } from './cpio.ts';
import { extractKernel } from './kernel.ts';
import { contentKey, folderParts, isGoSource } from './key.ts';
import { loadOrder, parseBuiltinModules, parseModuleDependencies } from './modules.ts';
import { agentDir, recipeDir } from './paths.ts';
import { inPhase } from './progress.ts';
import type { CommandContext } from './command.ts';
import type { CpioEntry } from './cpio.ts';
import type { OnProgress } from './progress.ts';
import type { RootfsManifest } from './rootfs.ts';

/** Drivers of the machine's devices that are modules in Debian's cloud kernel. */
const wantedModules = ['virtio_pci', 'virtio_blk', 'virtio_console', 'virtio_net', 'virtio_rng', 'ext4'];

const initDir = path.join(recipeDir, 'initramfs');

/** What `boot-<key>/manifest.json` holds. */
export interface BootManifest {
  format: 1;
  key: string;
  rootfsKey: string;
  kernelRelease: string;
}

/** Checks a manifest read from disk. */
export function parseBootManifest(value: unknown): BootManifest {
  const manifest = value as Partial<BootManifest> | null;
  if (
    manifest?.format !== 1 ||
    typeof manifest.key !== 'string' ||
    typeof manifest.rootfsKey !== 'string' ||
    typeof manifest.kernelRelease !== 'string'
  ) {
    throw new Error('not a manifest of a boot pack');
  }
  return {
    format: 1,
    key: manifest.key,
    rootfsKey: manifest.rootfsKey,
    kernelRelease: manifest.kernelRelease,
  };
}

/** Names a boot pack after the root file system that it boots, the guest agent in it, and its own code. */
export function bootKey(rootfsKey: string): string {
  const code = ['boot.ts', 'cpio.ts', 'kernel.ts', 'modules.ts'].map((name) => ({
    name,
    content: readFileSync(path.join(recipeDir, name)),
  }));
  const sources = [initDir, agentDir].flatMap((dir) =>
    folderParts(dir, isGoSource).map((part) => ({
      name: `${path.basename(dir)}/${part.name}`,
      content: part.content,
    })),
  );
  return contentKey([{ name: 'rootfs', content: rootfsKey }, ...code, ...sources]);
}

/** Builds a boot pack into a directory: `kernel` (uncompressed ELF) and `initramfs`. */
export async function buildBoot(
  context: CommandContext,
  dir: string,
  key: string,
  rootfs: { image: string; manifest: RootfsManifest },
  onProgress: OnProgress,
): Promise<BootManifest> {
  const work = path.join(dir, 'work');
  await mkdir(work);
  const [agent, init] = await inPhase(onProgress, 'agent', async () => [
    await compile(context, agentDir, path.join(work, 'agent')),
    await compile(context, initDir, path.join(work, 'init')),
  ]);
  await inPhase(onProgress, 'kernel and initramfs', async () => {
    const inside = `/usr/lib/modules/${rootfs.manifest.kernelRelease}`;
    const read = (names: readonly string[]) => readFromImage(context, rootfs.image, inside, names, work);
    const [kernel, dependencies, builtin] = await read(['vmlinuz', 'modules.dep', 'modules.builtin']);
    const order = loadOrder(
      wantedModules,
      parseModuleDependencies(String(dependencies)),
      parseBuiltinModules(String(builtin)),
    );
    const modules: Buffer[] = [];
    for (const [index, module] of (await read(order)).entries()) {
      modules.push(await unpackModule(context, order[index] ?? '', module, work));
    }
    await writeFile(path.join(dir, 'kernel'), extractKernel(kernel ?? Buffer.alloc(0)));
    await writeFile(path.join(dir, 'initramfs'), writeCpio(initramfsEntries(init, agent, order, modules)));
  });
  await rm(work, { recursive: true });
  await chmod(dir, 0o755);
  const { key: rootfsKey, kernelRelease } = rootfs.manifest;
  return { format: 1, key, rootfsKey, kernelRelease };
}

/** The files of the initramfs; modules are named so that they sort in the order in which to load them. */
export function initramfsEntries(
  init: Uint8Array,
  agent: Uint8Array,
  order: readonly string[],
  modules: readonly Uint8Array[],
): CpioEntry[] {
  const entries: CpioEntry[] = [
    { kind: 'directory', path: 'dev', mode: 0o755 },
    // The kernel opens it for the first process, before that process could create it.
    { kind: 'device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'file', path: 'init', mode: 0o755, content: init },
    { kind: 'file', path: 'agent', mode: 0o755, content: agent },
    { kind: 'directory', path: 'modules', mode: 0o755 },
  ];
  modules.forEach((content, index) => {
    const name = path.basename(order[index] ?? '').replace(/\.ko.*$/, '.ko');
    const number = String(index).padStart(3, '0');
    entries.push({ kind: 'file', path: `modules/${number}-${name}`, mode: 0o644, content });
  });
  return entries;
}

async function compile(context: CommandContext, sources: string, output: string): Promise<Buffer> {
  await runCommand(
    context,
    'go',
    ['build', '-trimpath', '-buildvcs=false', '-ldflags=-s -w', '-o', output, '.'],
    {
      cwd: sources,
      env: { CGO_ENABLED: '0', GOOS: 'linux', GOARCH: 'amd64', GOWORK: 'off' },
    },
  );
  return readFile(output);
}

/** Copies files out of an ext4 image, which needs no mount and no privileges. */
async function readFromImage(
  context: CommandContext,
  image: string,
  inside: string,
  names: readonly string[],
  work: string,
): Promise<Buffer[]> {
  const files = names.map((name, index) => ({ name, copy: path.join(work, `copy-${index}`) }));
  const script = path.join(work, 'debugfs-commands');
  await writeFile(script, files.map(({ name, copy }) => `dump "${inside}/${name}" "${copy}"\n`).join(''));
  // debugfs succeeds even when a file is missing; then the copy is missing or empty.
  await runCommand(context, 'debugfs', ['-f', script, image]);
  const contents = [];
  for (const { name, copy } of files) {
    const content = await readFile(copy).catch(() => Buffer.alloc(0));
    if (content.length === 0) throw new Error(`${image} has no ${inside}/${name}`);
    contents.push(content);
    await rm(copy);
  }
  return contents;
}

/** Modules are unpacked here once, rather than by the guest at every boot. */
async function unpackModule(
  context: CommandContext,
  name: string,
  content: Buffer,
  work: string,
): Promise<Buffer> {
  if (!name.endsWith('.xz')) return content;
  const file = path.join(work, path.basename(name));
  await writeFile(file, content);
  await runCommand(context, 'xz', ['--decompress', file]);
  return readFile(file.slice(0, -'.xz'.length));
}
