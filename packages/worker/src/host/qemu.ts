import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HostError, errorText } from './errors.ts';
import { findProgram, isExecutable, outputOf, programPath } from './programs.ts';

export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** As QEMU prints it, with the distribution's suffix, in which two builds of one version differ. */
  readonly text: string;
}

/** What newer versions can do. */
export interface QemuFeatures {
  /** Private writable RAM over a file opened read-only: `readonly=on,rom=off` (8.2, by the schema of its monitor protocol). */
  readonly readonlyRam: boolean;
}

export interface Qemu {
  /** Path of qemu-system-x86_64. */
  readonly path: string;
  /** Path of qemu-img. */
  readonly imagePath: string;
  readonly version: QemuVersion;
  readonly features: QemuFeatures;
}

/** Where to look. Default: `OPENCOMPUTER_QEMU`, or else the directories of the system's programs. */
export interface QemuLocation {
  /** qemu-system-x86_64 itself, or the directory that holds it and qemu-img. */
  readonly override?: string | undefined;
  readonly searchPath?: string | undefined;
}

const systemProgram = 'qemu-system-x86_64';
const imageProgram = 'qemu-img';
const versionTimeoutMs = 10_000;

export const minimalQemuVersion = { major: 7, minor: 2, patch: 0 } as const;

const installHint =
  'Install it (Debian: apt-get install qemu-system-x86 qemu-utils), or name it in OPENCOMPUTER_QEMU.';

/** Finds QEMU and its tools. @throws HostError when one is missing, can't be run or is older than 7.2 */
export async function findQemu(location: QemuLocation = {}): Promise<Qemu> {
  const path = await locateQemu(location);
  const imagePath = await locateQemuImage(location);
  const version = await readQemuVersion(path);
  if (compareVersions(version, minimalQemuVersion) < 0) {
    throw new HostError(`${path} is QEMU ${version.text}; at least 7.2 is needed.`, installHint);
  }
  return { path, imagePath, version, features: qemuFeatures(version) };
}

/** The path of qemu-system-x86_64. @throws HostError when it is missing */
export async function locateQemu(location: QemuLocation = {}): Promise<string> {
  const override = overrideOf(location);
  if (override !== '') {
    const path = (await isDirectory(override)) ? join(override, systemProgram) : override;
    if (await isExecutable(path)) return path;
    throw new HostError(
      `OPENCOMPUTER_QEMU leads to ${path}, which is no program that can be run.`,
      `Set OPENCOMPUTER_QEMU to the path of ${systemProgram}, or unset it to search the directories of the system.`,
    );
  }
  return (await findProgram(systemProgram, searchPathOf(location))) ?? missing(systemProgram, location);
}

/**
 * The path of qemu-img: beside QEMU where its place is set and it is there, else in PATH. @throws HostError when it is
 * missing
 */
export async function locateQemuImage(location: QemuLocation = {}): Promise<string> {
  const override = overrideOf(location);
  if (override !== '') {
    const directory = (await isDirectory(override)) ? override : dirname(override);
    const beside = join(directory, imageProgram);
    if (await isExecutable(beside)) return beside;
  }
  return (await findProgram(imageProgram, searchPathOf(location))) ?? missing(imageProgram, location);
}

/** Asks a QEMU program for its version. @throws HostError when it can't be run or prints something else */
export async function readQemuVersion(program: string): Promise<QemuVersion> {
  let printed: string;
  try {
    printed = await outputOf(program, ['--version'], versionTimeoutMs);
  } catch (error) {
    throw new HostError(`${program} cannot be run: ${errorText(error).split('\n', 1)[0]}`, installHint, {
      cause: error,
    });
  }
  const version = parseQemuVersion(printed);
  if (version === undefined) {
    const start = JSON.stringify(printed.slice(0, 80));
    throw new HostError(`${program} --version prints no version of QEMU: ${start}`, installHint);
  }
  return version;
}

/** Reads `QEMU emulator version 7.2.22 (Debian ...)`; undefined when the text is something else. */
export function parseQemuVersion(printed: string): QemuVersion | undefined {
  const line = printed.split('\n', 1)[0] ?? '';
  const match = /\bversion ((\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?.{0,200})/.exec(line);
  if (match === null) return undefined;
  const [, text = '', major, minor, patch = '0'] = match;
  return { major: Number(major), minor: Number(minor), patch: Number(patch), text: text.trim() };
}

type VersionNumbers = Omit<QemuVersion, 'text'>;

/** Negative when `left` is older than `right`, positive when newer, 0 when equal; the suffix doesn't count. */
export function compareVersions(left: VersionNumbers, right: VersionNumbers): number {
  return left.major - right.major || left.minor - right.minor || left.patch - right.patch;
}

export function qemuFeatures(version: VersionNumbers): QemuFeatures {
  const since82 = compareVersions(version, { major: 8, minor: 2, patch: 0 }) >= 0;
  return { readonlyRam: since82 };
}

function overrideOf(location: QemuLocation): string {
  return location.override ?? process.env['OPENCOMPUTER_QEMU'] ?? '';
}

function searchPathOf(location: QemuLocation): string {
  return location.searchPath ?? programPath;
}

function missing(program: string, location: QemuLocation): never {
  throw new HostError(`${program} was not found in ${searchPathOf(location)}.`, installHint);
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() ?? false;
}
