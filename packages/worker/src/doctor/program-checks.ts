import pino from 'pino';
import { probeAcceleration } from '../host/acceleration.ts';
import {
  compareVersions,
  locateQemu,
  locateQemuImage,
  minimalQemuVersion,
  qemuFeatures,
  readQemuVersion,
} from '../host/qemu.ts';
import type { CheckDefinition } from './checks.ts';

const oldestNode = 24;

const node: CheckDefinition = {
  id: 'node',
  title: 'Node.js',
  run: () => {
    const version = process.versions.node;
    if (Number.parseInt(version, 10) >= oldestNode) return { status: 'ok', found: version };
    return {
      status: 'fail',
      found: version,
      why: `The platform needs Node.js ${oldestNode} or newer.`,
      fix: 'Start it with npm start, which uses the Node.js that npm ci installs with it.',
    };
  },
};

const qemu: CheckDefinition = {
  id: 'qemu',
  title: 'QEMU',
  run: async (config) => {
    const path = await locateQemu(config.qemu);
    const version = await readQemuVersion(path);
    const found = `${version.text}, ${path}`;
    if (compareVersions(version, minimalQemuVersion) < 0) {
      return { status: 'fail', found, why: 'At least QEMU 7.2 is needed.', fix: 'Install a newer QEMU.' };
    }
    const lacks = qemuFeatures(version).readonlyRam
      ? ''
      : ' (older than 8.2: every machine opens its memory image writable)';
    return { status: 'ok', found: found + lacks };
  },
};

const qemuImage: CheckDefinition = {
  id: 'qemu-img',
  title: 'qemu-img',
  run: async (config) => {
    const path = await locateQemuImage(config.qemu);
    const version = await readQemuVersion(path);
    return { status: 'ok', found: `${version.text}, ${path}` };
  },
};

const acceleration: CheckDefinition = {
  id: 'acceleration',
  title: 'Acceleration',
  run: async (config) => {
    const { kernel, jailer } = await config.findImage();
    if (kernel === undefined && config.acceleration !== 'tcg') {
      return {
        status: 'warn',
        found: 'not known yet',
        why: 'KVM is probed by booting the guest kernel, which has not been built.',
        fix: 'Build the image, then run the doctor again.',
      };
    }
    const { accelerator, reason, hint, cpuModel, cached } = await probeAcceleration({
      setting: config.acceleration,
      qemu: await locateQemu(config.qemu),
      kernel: kernel ?? '',
      jailer,
      cacheFile: config.accelerationCacheFile,
      deadlineMs: config.accelerationDeadlineMs,
      log: pino({ enabled: false }),
    });
    const source = cached ? ' (kept from an earlier probe)' : '';
    if (accelerator === 'kvm') return { status: 'ok', found: `KVM, -cpu ${cpuModel}: ${reason}${source}` };
    return {
      status: 'warn',
      found: `emulated: not an isolation boundary${source}`,
      why: `${reason} Machines are many times slower, and QEMU makes no promise that emulation holds hostile guests.`,
      ...(hint === undefined ? {} : { fix: hint }),
    };
  },
};

const image: CheckDefinition = {
  id: 'image',
  title: 'Guest image',
  run: async (config) => {
    const { kernel, rootFileSystem } = await config.findImage();
    const missing = [
      ...(kernel === undefined ? ['kernel'] : []),
      ...(rootFileSystem === undefined ? ['root file system'] : []),
    ];
    if (missing.length === 0) return { status: 'ok', found: `${rootFileSystem}, kernel ${kernel}` };
    return {
      status: 'warn',
      found: `not built: ${missing.join(', ')}`,
      why: 'No sandbox can start without it.',
      fix: 'Run ./quickstart.sh, which builds it.',
    };
  },
};

/** Node.js, QEMU and what is built. */
export const programChecks: readonly CheckDefinition[] = [node, qemu, qemuImage, acceleration, image];
