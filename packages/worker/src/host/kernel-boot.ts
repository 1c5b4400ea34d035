import { spawn } from 'node:child_process';
import { chmod, copyFile, link, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, systemErrorCode } from './errors.ts';
import { type Jail, jailed } from './jail.ts';
import { endGroup, childIdentity, processIdentity } from './processes.ts';

export interface KernelBoot {
  /** Path of qemu-system-x86_64. */
  readonly qemu: string;
  /** Path of the guest kernel. */
  readonly kernel: string;
  readonly cpuModel: string;
  /** How long to wait for the first byte on the serial port, in milliseconds. */
  readonly deadlineMs: number;
  /** Undefined: it has all rights of this process. */
  readonly jail: Jail | undefined;
  /** In which a working directory is made, and removed again. It must be on the kernel's file system. */
  readonly directory: string;
}

export type BootOutcome =
  | { readonly kind: 'booted'; readonly afterMs: number }
  /** It ran until the deadline and printed nothing. */
  | { readonly kind: 'hung' }
  /** It ended before the kernel printed anything. `ending` says how, in words. */
  | { readonly kind: 'ended'; readonly ending: string }
  | { readonly kind: 'not_started'; readonly reason: string };

const kernelName = 'kernel';
const workName = /^\.probe-(\d+)-/;
const stderrLimitBytes = 4096;
const killTimeoutMs = 10_000;

/**
 * Starts a guest kernel under KVM, with no disk and 128 MB, and watches for its first byte on the serial port. No
 * process is left, even when this process is killed meanwhile.
 * @throws Error only when QEMU survives SIGKILL
 */
export async function bootKernelUnderKvm(boot: KernelBoot): Promise<BootOutcome> {
  let work: string;
  try {
    work = await makeWorkDirectory(boot);
  } catch (error) {
    return { kind: 'not_started', reason: errorText(error) };
  }
  try {
    return await bootIn(work, boot);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function bootIn(cwd: string, boot: KernelBoot): Promise<BootOutcome> {
  const [program, ...args] = commandLine(boot);
  const startedAt = performance.now();
  const child = spawn(program, args, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const identity = child.pid === undefined ? undefined : childIdentity(child.pid);

  let complaint = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    complaint = (complaint + text).slice(0, stderrLimitBytes);
  });

  const outcome = await new Promise<BootOutcome>((resolve) => {
    const settle = (found: BootOutcome): void => {
      clearTimeout(timer);
      resolve(found);
    };
    const timer = setTimeout(() => {
      const { exitCode, signalCode } = child;
      const running = exitCode === null && signalCode === null;
      settle(running ? { kind: 'hung' } : judgeEnding(exitCode, signalCode, complaint));
    }, boot.deadlineMs);
    child.stdout.once('data', () => settle({ kind: 'booted', afterMs: performance.now() - startedAt }));
    child.once('error', (error) => settle({ kind: 'not_started', reason: error.message }));
    // After `close`, unlike after `exit`, all output has been read.
    child.once('close', (code, signal) => settle(judgeEnding(code, signal, complaint)));
  });

  child.stdout.destroy();
  child.stderr.destroy();
  if (identity !== undefined && !(await endGroup(identity, killTimeoutMs))) {
    throw new Error(`QEMU (pid ${identity.pid}) of the probe for KVM did not end when it was killed.`);
  }
  return outcome;
}

function commandLine({ qemu, cpuModel, jail }: KernelBoot): [string, ...string[]] {
  const machine = ['-accel', 'kvm', '-cpu', cpuModel, '-machine', 'q35', '-m', '128', '-smp', '1'];
  const devices = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'];
  const command = [qemu, ...machine, ...devices, '-kernel', kernelName, '-append', 'console=ttyS0 panic=-1'];
  const [first = qemu, ...rest] = jail === undefined ? command : jailed(command, jail);
  return [first, ...rest];
}

/** The working directory of a machine: a link to the kernel, and nothing that QEMU could write. */
async function makeWorkDirectory({ kernel, directory }: KernelBoot): Promise<string> {
  for (const name of await readdir(directory)) {
    const maker = workName.exec(name)?.[1];
    // A directory that was left by a process which was killed during a probe.
    if (maker !== undefined && processIdentity(Number(maker)) === undefined)
      await rm(join(directory, name), { recursive: true, force: true });
  }
  const made = await mkdtemp(join(directory, `.probe-${process.pid}-`));
  await chmod(made, 0o711);
  await link(kernel, join(made, kernelName)).catch(async (error: unknown) => {
    if (systemErrorCode(error) !== 'EXDEV' && systemErrorCode(error) !== 'EPERM') throw error;
    await copyFile(kernel, join(made, kernelName));
  });
  return made;
}

function judgeEnding(code: number | null, signal: NodeJS.Signals | null, complaint: string): BootOutcome {
  const line = complaint.trim().split('\n', 1)[0]?.slice(0, 300) ?? '';
  // Exit codes: the jailer failed before it started QEMU; a shell could not start a program.
  if (code === 125 || code === 126 || code === 127) return { kind: 'not_started', reason: line };
  const how = signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
  return { kind: 'ended', ending: line === '' ? `${how} and printed no error` : `${how}: ${line}` };
}
