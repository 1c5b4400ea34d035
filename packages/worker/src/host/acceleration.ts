import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { accelerationKey, readCachedAnswer, writeCachedAnswer } from './acceleration-cache.ts';
import type { AccelerationAnswer, AccelerationKey } from './acceleration-cache.ts';
import { HostError, errorText, systemErrorCode } from './errors.ts';
import { type Jail, probeUid } from './jail.ts';
import { bootKernelUnderKvm } from './kernel-boot.ts';
import { readQemuVersion } from './qemu.ts';

export type AccelerationSetting = 'auto' | 'kvm' | 'tcg';

export interface Acceleration {
  readonly accelerator: 'kvm' | 'tcg';
  /** The reason, for people. */
  readonly reason: string;
  /** How to get KVM; absent where nothing has to be fixed. */
  readonly hint?: string;
  /** Whether the answer was kept from an earlier probe. */
  readonly cached: boolean;
  /** The argument of QEMU's `-cpu` that works with this accelerator. */
  readonly cpuModel: string;
}

export interface AccelerationProbe {
  readonly setting: AccelerationSetting;
  /** Path of qemu-system-x86_64. */
  readonly qemu: string;
  /** Path of the guest kernel. */
  readonly kernel: string;
  /**
   * Path of the program that starts QEMU. QEMU is probed in the jail of a machine; without this program, with all
   * rights.
   */
  readonly jailer?: string | undefined;
  /** Where the answer is kept from one start to the next. */
  readonly cacheFile: string;
  /** How long each attempt may take until the kernel's first byte, in milliseconds. */
  readonly deadlineMs: number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Default `/dev/kvm`. */
  readonly kvmDevice?: string;
}

interface Verdict {
  readonly accelerator: 'kvm' | 'tcg';
  readonly reason: string;
  readonly hint?: string | undefined;
  readonly cpuModel: string;
}

/** Tried in this order. Some hosts lack a register that plain `host` wants to set, and QEMU aborts there. */
const kvmCpuModels = ['host', 'host,-arch-capabilities'];
/**
 * Everything that emulation offers but "fast" string instructions. Where a processor has these, kernel and C library
 * copy with `rep movsb`, which emulation carries out byte by byte, several times slower than other ways to copy.
 */
const tcgCpuModel = 'max,-erms,-fsrm';

/**
 * Finds out by booting the real guest kernel whether this host can run machines under KVM.
 * @throws HostError when the setting is `kvm` and it can't, or when the kernel is missing
 */
export async function probeAcceleration(probe: AccelerationProbe): Promise<Acceleration> {
  if (probe.setting === 'tcg') {
    return { accelerator: 'tcg', reason: 'Emulation was asked for.', cached: false, cpuModel: tcgCpuModel };
  }
  const found = await decide(probe);
  if (probe.setting === 'kvm' && found.accelerator !== 'kvm') {
    const escape = 'Or set OPENCOMPUTER_ACCEL=auto to run emulated.';
    throw new HostError(
      `KVM was asked for, and this host can't: ${found.reason}`,
      found.hint === undefined ? escape : `${found.hint} ${escape}`,
    );
  }
  return found;
}

async function decide(probe: AccelerationProbe): Promise<Acceleration> {
  const refusal = await kvmDeviceRefusal(probe.kvmDevice ?? '/dev/kvm');
  if (refusal !== undefined) return present(refusal, false);

  let key: AccelerationKey;
  try {
    const version = await readQemuVersion(probe.qemu);
    key = await accelerationKey(probe.kernel, version.text, probe.jailer);
  } catch (error) {
    if (error instanceof HostError) return present(emulated(error.message, error.hint), false);
    throw new HostError(
      `The guest kernel ${probe.kernel} cannot be read: ${errorText(error)}`,
      'Build the image first.',
      { cause: error },
    );
  }

  const kept = await readCachedAnswer(probe.cacheFile, key);
  if (kept.kind === 'known' && stillStands(kept.answer, probe)) return present(kept.answer, true);
  if (kept.kind === 'damaged') {
    probe.log.warn(
      { file: probe.cacheFile, reason: kept.reason },
      'the kept answer about KVM is damaged; probing again',
    );
  }
  const verdict = await bootEachModel(probe);
  if (verdict.lasting) await keep(probe, key, verdict);
  const { accelerator, reason, cpuModel } = verdict;
  probe.log.info({ accelerator, reason, cpuModel }, 'probed KVM by booting the guest kernel');
  return present(verdict, false);
}

/** A negative answer is probed again where the user insists on KVM, or allows more time than the last probe had. */
function stillStands(answer: AccelerationAnswer, probe: AccelerationProbe): boolean {
  if (answer.accelerator === 'kvm') return true;
  return probe.setting === 'auto' && probe.deadlineMs <= answer.deadlineMs;
}

/** The reasons against KVM that are quick to find. They are never kept, since a user may fix them at any time. */
async function kvmDeviceRefusal(device: string): Promise<Verdict | undefined> {
  try {
    await (await open(device, 'r+')).close();
    return undefined;
  } catch (error) {
    const code = systemErrorCode(error) ?? '';
    if (['ENOENT', 'ENODEV', 'ENXIO'].includes(code)) {
      return emulated(
        `There is no usable ${device}.`,
        'Turn on virtualization in the firmware and load kvm_intel or kvm_amd; in a virtual machine, turn on nested virtualization in its host.',
      );
    }
    if (['EACCES', 'EPERM'].includes(code)) {
      return emulated(
        `This user may not open ${device}.`,
        'Add the user to the group that owns it (sudo usermod -aG kvm "$USER"), and log in again.',
      );
    }
    return emulated(`${device} cannot be opened: ${errorText(error)}`, `See what ${device} is on this host.`);
  }
}

/** `lasting`: whether to keep the answer. That QEMU aborts is not kept: it is quick to find, and may pass. */
async function bootEachModel(probe: AccelerationProbe): Promise<Verdict & { lasting: boolean }> {
  const { qemu, kernel, deadlineMs, jailer } = probe;
  const jail = jailer === undefined ? undefined : probeJail(jailer, probe.kvmDevice ?? '/dev/kvm');
  // Beside the images, so that the kernel can be linked into it.
  const directory = dirname(dirname(kernel));
  const endings: string[] = [];
  for (const cpuModel of kvmCpuModels) {
    const outcome = await bootKernelUnderKvm({ qemu, kernel, cpuModel, deadlineMs, jail, directory });
    switch (outcome.kind) {
      case 'booted': {
        const reason = `The guest kernel answered under KVM after ${Math.round(outcome.afterMs)} ms.`;
        return { accelerator: 'kvm', reason, cpuModel, lasting: true };
      }
      case 'hung': {
        const reason = `KVM starts a machine, but the guest kernel printed nothing within ${deadlineMs / 1000} s.`;
        const cause =
          'This KVM cannot run a stock kernel, as happens in nested virtual machines: use a host with complete KVM.';
        return { ...emulated(reason, `${cause} To probe again, remove ${probe.cacheFile}.`), lasting: true };
      }
      case 'not_started':
        return {
          ...emulated(`QEMU could not be started: ${outcome.reason}.`, 'Run the doctor.'),
          lasting: false,
        };
      case 'ended':
        endings.push(`with -cpu ${cpuModel} it ${outcome.ending}`);
        break;
    }
  }
  const reason = `QEMU ends under KVM: ${endings.join('; ')}.`;
  return { ...emulated(reason, "Look for kvm in the host's kernel log (dmesg)."), lasting: false };
}

/** The jail of a machine, except for its network. */
function probeJail(jailer: string, kvmDevice: string): Jail {
  const uid = process.getuid?.() === 0 ? probeUid : undefined;
  return { jailer, uid, kvmDevice, internet: false, dieWithParent: true };
}

async function keep(probe: AccelerationProbe, key: AccelerationKey, verdict: Verdict): Promise<void> {
  const { accelerator, reason, hint, cpuModel } = verdict;
  try {
    await writeCachedAnswer(probe.cacheFile, key, {
      accelerator,
      reason,
      hint,
      cpuModel,
      deadlineMs: probe.deadlineMs,
    });
  } catch (error) {
    probe.log.warn(
      { file: probe.cacheFile, reason: errorText(error) },
      'the answer about KVM could not be kept',
    );
  }
}

function emulated(reason: string, hint: string): Verdict {
  return { accelerator: 'tcg', reason, hint, cpuModel: tcgCpuModel };
}

/** We choose the CPU model for emulation, whatever an earlier release has kept. */
function present({ accelerator, reason, hint, cpuModel }: Verdict, cached: boolean): Acceleration {
  return {
    accelerator,
    reason,
    cached,
    cpuModel: accelerator === 'tcg' ? tcgCpuModel : cpuModel,
    ...(hint === undefined ? {} : { hint }),
  };
}
