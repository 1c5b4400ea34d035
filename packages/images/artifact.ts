import { open, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

const temporaryPrefix = '.building-';
const manifestName = 'manifest.json';

/** A directory of finished files, named `<kind>-<key>`; its manifest is written last. */
export type Artifact<Manifest> = { dir: string; manifest: Manifest };

/**
 * The finished artifact of that name, or undefined. `parse` checks the manifest, and throws when it is not in the form
 * that this version writes.
 */
export async function findArtifact<Manifest>(
  imagesDir: string,
  name: string,
  parse: (value: unknown) => Manifest,
): Promise<Artifact<Manifest> | undefined> {
  const dir = path.join(imagesDir, name);
  let text: string;
  try {
    text = await readFile(path.join(dir, manifestName), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return { dir, manifest: parse(JSON.parse(text)) };
  } catch (error) {
    throw new Error(`damaged image ${dir}: remove that directory and build again`, { cause: error });
  }
}

/**
 * Makes an artifact: `build` fills a temporary directory and returns the manifest; then everything is made durable and
 * renamed in one step. The caller holds the build lock.
 */
export async function makeArtifact<Manifest>(
  imagesDir: string,
  name: string,
  build: (temporaryDir: string) => Promise<Manifest>,
): Promise<Artifact<Manifest>> {
  const temporaryDir = await mkdtemp(path.join(imagesDir, temporaryPrefix));
  try {
    const manifest = await build(temporaryDir);
    await writeFile(path.join(temporaryDir, manifestName), `${JSON.stringify(manifest, null, 2)}\n`);
    for (const file of await readdir(temporaryDir)) await syncToDisk(path.join(temporaryDir, file));
    await syncToDisk(temporaryDir);
    const dir = path.join(imagesDir, name);
    await rename(temporaryDir, dir);
    await syncToDisk(imagesDir);
    return { dir, manifest };
  } catch (error) {
    await rm(temporaryDir, { recursive: true, force: true });
    throw error;
  }
}

/** Removes what builders left that were killed. The caller holds the build lock. */
export async function removeAbandoned(imagesDir: string): Promise<void> {
  await mkdir(imagesDir, { recursive: true });
  for (const name of await readdir(imagesDir)) {
    if (name.startsWith(temporaryPrefix)) {
      await rm(path.join(imagesDir, name), { recursive: true, force: true });
    }
  }
}

/**
 * Removes finished artifacts and logs of other source trees, and returns their names. Files
 * that running machines or templates still link to keep existing. The caller holds the lock.
 */
export async function removeOthers(imagesDir: string, keep: readonly string[]): Promise<string[]> {
  const names = await readdir(imagesDir);
  const others = names.filter(
    (name) =>
      /^((boot|rootfs|jailer)-[0-9a-f]{16}|build-[0-9a-f]{16}\.log)$/.test(name) && !keep.includes(name),
  );
  for (const name of others) {
    await rm(path.join(imagesDir, name), { recursive: true, force: true });
  }
  return others;
}

async function syncToDisk(file: string): Promise<void> {
  await using handle = await open(file, 'r');
  await handle.sync();
}
