import type { AccelerationSetting } from '../host/acceleration.ts';
import type { CapacityConfig } from '../host/admission.ts';
import { HostError, errorText } from '../host/errors.ts';
import type { GuestProxy } from '../host/guest-proxy.ts';
import type { QemuLocation } from '../host/qemu.ts';

/** The result of one check. */
export interface Check {
  readonly id: string;
  readonly title: string;
  readonly status: 'ok' | 'warn' | 'fail';
  /** What was found. */
  readonly found: string;
  /** Why it matters; for warnings, what is lost. */
  readonly why?: string;
  /** How to fix it. */
  readonly fix?: string;
}

/** The parts of the guest's image: paths, each absent as long as it is not built. */
export interface ImageFacts {
  readonly kernel?: string | undefined;
  readonly rootFileSystem?: string | undefined;
  /** The program that starts QEMU. */
  readonly jailer?: string | undefined;
}

/** Everything that the checks need to know. */
export interface DoctorConfig {
  readonly dataDirectory: string;
  readonly cacheDirectory: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly acceleration: AccelerationSetting;
  /** How long the probe of KVM waits for the kernel, in milliseconds. */
  readonly accelerationDeadlineMs: number;
  readonly accelerationCacheFile: string;
  readonly capacity: CapacityConfig;
  /** Memory of a sandbox by default. */
  readonly defaultMemoryMB: number;
  /** PEM file of certificates for guests, where one is set. */
  readonly guestCertificates?: string | undefined;
  /** The proxy that guests use. */
  readonly guestProxy?: GuestProxy;
  /** Where to look for QEMU; default: where the environment says. */
  readonly qemu?: QemuLocation;
  readonly findImage: () => Promise<ImageFacts>;
  readonly describeNetwork: () => Promise<Check>;
}

/** A check that is not run yet. Its id and title are known even if it cannot run. */
export interface CheckDefinition {
  readonly id: string;
  readonly title: string;
  readonly run: (config: DoctorConfig) => Promise<CheckResult> | CheckResult;
}

export type CheckResult = Omit<Check, 'id' | 'title'>;

/** No check takes this long on a healthy host; a dead network file system blocks for ever. */
const checkTimeoutMs = 60_000;

/** Runs one check. Never rejects: a check that throws, or doesn't end, has failed. */
export async function runCheck(definition: CheckDefinition, config: DoctorConfig): Promise<Check> {
  const { id, title } = definition;
  const timeout = Promise.withResolvers<CheckResult>();
  const timer = setTimeout(
    () => timeout.resolve({ status: 'fail', found: `no answer within ${checkTimeoutMs / 1000} s` }),
    checkTimeoutMs,
  );
  try {
    const result = await Promise.race([(async () => definition.run(config))(), timeout.promise]);
    return { ...result, id, title };
  } catch (error) {
    const hint = error instanceof HostError ? { fix: error.hint } : {};
    return { id, title, status: 'fail', found: errorText(error), ...hint };
  } finally {
    clearTimeout(timer);
  }
}
