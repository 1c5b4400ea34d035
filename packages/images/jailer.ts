import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from './command.ts';
import { findArtifact, makeArtifact } from './artifact.ts';
import { contentKey, folderParts, isGoSource } from './key.ts';
import { takeLock } from './lock.ts';
import { repositoryDir } from './paths.ts';
import type { CommandContext } from './command.ts';

const sources = path.join(repositoryDir, 'jailer');
const program = 'jailer';

/** What `jailer-<key>/manifest.json` holds. */
interface JailerManifest {
  format: 1;
  key: string;
}

function parseJailerManifest(value: unknown): JailerManifest {
  const manifest = value as Partial<JailerManifest> | null;
  if (manifest?.format !== 1 || typeof manifest.key !== 'string')
    throw new Error('not a manifest of a jailer');
  return { format: 1, key: manifest.key };
}

/** The key of the program that starts QEMU: a hash of its sources. */
function jailerKey(): string {
  return contentKey(folderParts(sources, isGoSource));
}

/** Path of the program that starts QEMU, if it is built already. */
export async function findJailer(imagesDir: string): Promise<string | undefined> {
  const found = await findArtifact(imagesDir, `jailer-${jailerKey()}`, parseJailerManifest);
  return found === undefined ? undefined : path.join(found.dir, program);
}

/** Builds the program into the directory of images. The caller holds the build lock. */
export async function buildJailer(imagesDir: string, context: CommandContext): Promise<void> {
  const key = jailerKey();
  await makeArtifact(imagesDir, `jailer-${key}`, async (dir) => {
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags=-s -w'];
    await runCommand(context, 'go', ['build', ...flags, '-o', path.join(dir, program), '.'], {
      cwd: sources,
      env: { CGO_ENABLED: '0', GOOS: 'linux', GOARCH: 'amd64', GOWORK: 'off' },
    });
    return { format: 1, key } satisfies JailerManifest;
  });
}

/** The program that starts QEMU, built first where it is missing; without the rest of the images. @returns its path */
export async function ensureJailer(cacheDir: string, log: CommandContext['log']): Promise<string> {
  const imagesDir = path.join(path.resolve(cacheDir), 'images');
  const existing = await findJailer(imagesDir);
  if (existing !== undefined) return existing;
  await mkdir(imagesDir, { recursive: true });
  await using lock = await takeLock(path.join(imagesDir, '.lock'), () => undefined);
  if ((await findJailer(imagesDir)) === undefined) await buildJailer(imagesDir, { lockFd: lock.fd, log });
  const built = await findJailer(imagesDir);
  if (built === undefined) throw new Error('the sources of the jailer changed while it was built');
  return built;
}
