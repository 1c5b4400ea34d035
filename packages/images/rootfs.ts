import { readFileSync } from 'node:fs';
import { chmod, copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { agentWrapperParts, buildAgentWrapper } from './agent-wrapper.ts';
import { runCommand } from './command.ts';
import { contentKey, folderParts } from './key.ts';
import { fetchNpmPackages } from './npm-packages.ts';
import { recipeDir } from './paths.ts';
import { inPhase } from './progress.ts';
import type { CommandContext } from './command.ts';
import type { OnProgress } from './progress.ts';

/** Size of the disk a guest sees, in bytes. The file is sparse and holds about 1.4 GB. */
export const virtualBytes = 20 * 1024 ** 3;

const rootfsRecipe = path.join(recipeDir, 'rootfs');
export const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const packageListInside = '/usr/share/opencomputer-packages.txt';

const fileSystemFeatures = [
  'has_journal,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,huge_file',
  'dir_nlink,extra_isize,metadata_csum,64bit,resize_inode',
].join(',');

/** What `rootfs-<key>/manifest.json` holds. */
export type RootfsManifest = { format: 1; key: string; virtualBytes: number; kernelRelease: string };

/** Checks a manifest read from disk. */
export function parseRootfsManifest(value: unknown): RootfsManifest {
  const manifest = value as Partial<RootfsManifest> | null;
  if (
    manifest?.format !== 1 ||
    typeof manifest.key !== 'string' ||
    typeof manifest.virtualBytes !== 'number' ||
    typeof manifest.kernelRelease !== 'string'
  ) {
    throw new Error('not a manifest of a root file system');
  }
  return {
    format: 1,
    key: manifest.key,
    virtualBytes: manifest.virtualBytes,
    kernelRelease: manifest.kernelRelease,
  };
}

/** Names the root file system after its recipe and the code that follows it. */
export function rootfsKey(): string {
  return contentKey([
    ...folderParts(rootfsRecipe),
    ...agentWrapperParts(),
    ...['rootfs.ts', 'agent-wrapper.ts', 'npm-packages.ts'].map((name) => ({
      name,
      content: readFileSync(path.join(recipeDir, name)),
    })),
  ]);
}

/** Names of Debian packages in a list with `#` comments, one or more a line. */
export function parsePackageList(text: string): string[] {
  const names = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .flatMap((line) => line.split(/\s+/))
    .filter((name) => name !== '');
  const wrong = names.find((name) => !/^[a-z0-9][a-z0-9+.-]+$/.test(name));
  if (wrong !== undefined) throw new Error(`not the name of a Debian package: ${wrong}`);
  return names;
}

/** Builds the root file system into a directory: `rootfs.ext4` and `packages.txt`. */
export async function buildRootfs(
  context: CommandContext,
  dir: string,
  key: string,
  onProgress: OnProgress,
): Promise<RootfsManifest> {
  const tree = path.join(dir, 'tree');
  const additions = path.join(dir, 'additions');
  await inPhase(onProgress, 'npm packages', async () => {
    await fetchNpmPackages(
      context,
      path.join(rootfsRecipe, 'npm.json'),
      path.join(additions, 'node_modules'),
    );
    await buildAgentWrapper(context, path.join(additions, 'claude-agent-wrapper'));
    await copyFile(hostCertificates(), path.join(additions, 'certificates.pem'));
  });
  await inPhase(onProgress, 'Debian packages', (detail) => installPackages(context, tree, additions, detail));
  await rm(additions, { recursive: true });
  const release = await inPhase(onProgress, 'disk image', async () => {
    const packages = path.join(tree, packageListInside);
    await writeFile(path.join(dir, 'packages.txt'), await readFile(packages));
    await makeFileSystem(context, tree, path.join(dir, 'rootfs.ext4'));
    const kernels = await runCommand(context, 'ls', [path.join(tree, 'usr/lib/modules')]);
    await rm(tree, { recursive: true });
    return kernels.trim();
  });
  // Machines' emulators read the image as users of their own.
  await chmod(dir, 0o755);
  return { format: 1, key, virtualBytes, kernelRelease: release };
}

/** The certificates that programs on this host trust: its network may sign TLS connections with one of its own. */
export function hostCertificates(): string {
  const { PIP_CERT, REQUESTS_CA_BUNDLE, SSL_CERT_FILE } = process.env;
  return PIP_CERT ?? REQUESTS_CA_BUNDLE ?? SSL_CERT_FILE ?? '/etc/ssl/certs/ca-certificates.crt';
}

async function installPackages(
  context: CommandContext,
  tree: string,
  additions: string,
  detail: (text: string) => void,
): Promise<void> {
  const packages = parsePackageList(await readFile(path.join(rootfsRecipe, 'packages.txt'), 'utf8'));
  const counts = { downloaded: 0, unpacked: 0, configured: 0 };
  const onLine = (line: string): void => {
    if (line.startsWith('step: ')) detail(line.slice('step: '.length));
    else {
      if (line.startsWith('Get:')) counts.downloaded += 1;
      else if (line.startsWith('Unpacking ')) counts.unpacked += 1;
      else if (line.startsWith('Setting up ')) counts.configured += 1;
      else return;
      detail(`${counts.downloaded} fetched, ${counts.unpacked} unpacked, ${counts.configured} set up`);
    }
  };
  const args = [
    '--mode=root',
    '--verbose',
    '--variant=minbase',
    '--format=directory',
    `--include=${packages.join(',')}`,
    `--dpkgopt=${path.join(rootfsRecipe, 'dpkg.cfg')}`,
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=Acquire::Retries "3"',
    // Only for this build: in the guest apt has its usual defaults.
    '--setup-hook=echo \'APT::Install-Recommends "false";\' > "$1/etc/apt/apt.conf.d/99build"',
    `--customize-hook=${path.join(rootfsRecipe, 'customize.sh')}`,
    '--customize-hook=rm "$1/etc/apt/apt.conf.d/99build"',
    'trixie',
    tree,
    path.join(rootfsRecipe, 'tree/etc/apt/sources.list.d/debian.sources'),
  ];
  // In namespaces of its own: however it ends, its mounts and its processes end with it.
  const isolated = ['--mount', '--pid', '--fork', '--mount-proc', '--kill-child', 'mmdebstrap'];
  await runCommand(context, 'unshare', [...isolated, ...args], {
    env: { OPENCOMPUTER_ADDITIONS: additions, DEBIAN_FRONTEND: 'noninteractive' },
    onLine,
  });
}

async function makeFileSystem(context: CommandContext, tree: string, image: string): Promise<void> {
  const args = [
    '-q',
    '-t',
    'ext4',
    '-b',
    '4096',
    '-I',
    '256',
    '-i',
    '16384',
    '-O',
    `none,${fileSystemFeatures}`,
  ];
  // All inode tables count as written, so that no kernel thread does it later in every sandbox;
  // in a new sparse file they take no space. A few reserved blocks let root work on a full disk.
  args.push('-E', 'lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0', '-J', 'size=64', '-m', '0.1');
  args.push('-L', 'root', '-d', tree, image, `${virtualBytes / 1024}k`);
  await runCommand(context, 'mke2fs', args);
}
