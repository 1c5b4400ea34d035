import { spawn } from 'node:child_process';
import { findProgram, programPath } from './programs.ts';
import { endGroup, childIdentity } from './processes.ts';

export interface KernelBoot {
  /** Path of qemu-system-x86_64. */
  readonly qemu: string;
  /** Path of the guest kernel. */
  readonly kernel: string;
  readonly cpuModel: string;
  /** How long to wait for the first byte on the serial port, in milliseconds. */
  readonly deadlineMs: number;
}

export type BootOutcome =
  | { readonly kind: 'booted'; readonly afterMs: number }
  /** It ran until the deadline and printed nothing. */
  | { readonly kind: 'hung' }
  /** It ended before the kernel printed anything. `ending` says how, in words. */
  | { readonly kind: 'ended'; readonly ending: string }
  | { readonly kind: 'not_started'; readonly reason: string };

const stderrLimitBytes = 4096;
const killTimeoutMs = 10_000;

/**
 * Starts a guest kernel under KVM, with no disk and 128 MB, and watches for its first byte on the serial port.
 * Nothing is left running, also when this process is killed meanwhile. Throws only if QEMU survives SIGKILL.
 */
export async function bootKernelUnderKvm(boot: KernelBoot): Promise<BootOutcome> {
  const [program, ...args] = await commandLine(boot);
  const startedAt = performance.now();
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
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
    // After `close`, unlike after `exit`, everything that was printed has been read.
    child.once('close', (code, signal) => settle(judgeEnding(code, signal, complaint)));
  });

  child.stdout.destroy();
  child.stderr.destroy();
  if (identity !== undefined && !(await endGroup(identity, killTimeoutMs))) {
    throw new Error(`QEMU (pid ${identity.pid}) of the probe for KVM did not end when it was killed.`);
  }
  return outcome;
}

async function commandLine({ qemu, kernel, cpuModel }: KernelBoot): Promise<[string, ...string[]]> {
  const machine = ['-accel', 'kvm', '-cpu', cpuModel, '-machine', 'q35', '-m', '128', '-smp', '1'];
  const devices = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'];
  const command = [qemu, ...machine, ...devices, '-kernel', kernel, '-append', 'console=ttyS0 panic=-1'];
  // A worker that is killed in mid-probe takes its hung machine with it.
  const setpriv = await findProgram('setpriv', programPath);
  const [first = qemu, ...rest] =
    setpriv === undefined ? command : [setpriv, '--pdeathsig', 'KILL', '--', ...command];
  return [first, ...rest];
}

function judgeEnding(code: number | null, signal: NodeJS.Signals | null, complaint: string): BootOutcome {
  const line = complaint.trim().split('\n', 1)[0]?.slice(0, 300) ?? '';
  // How a wrapper says that there is no such program, or that it can't be executed.
  if (code === 126 || code === 127) return { kind: 'not_started', reason: line };
  const how = signal === null ? `ended with status ${code}` : `was ended by ${signal}`;
  return { kind: 'ended', ending: line === '' ? `${how} and printed no error` : `${how}: ${line}` };
}
