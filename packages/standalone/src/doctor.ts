import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { limits } from '@opencomputer/protocol';
import {
  defaultCapacity,
  describeNetworkMode,
  detectNetworkMode,
  exitCode,
  formatChecks,
  formatChecksAsJson,
  networkCheck,
  runDoctor,
} from '@opencomputer/worker/doctor';
import { findImages } from '@opencomputer/images';
import { readConfig } from './config.ts';

const help = `Says what this host can do, and how to mend what is missing.

  npm run doctor             for people
  npm run doctor -- --json   for programs

Exit code 1 when something that is needed is missing.
`;

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help === true) {
  process.stdout.write(help);
  process.exit(0);
}

const config = readConfig(process.env);
const setting = process.env['OPENCOMPUTER_ACCEL'] ?? 'auto';
if (setting !== 'auto' && setting !== 'kvm' && setting !== 'tcg') {
  process.stderr.write(
    `doctor: OPENCOMPUTER_ACCEL is ${JSON.stringify(setting)}; it can be auto, kvm or tcg\n`,
  );
  process.exit(1);
}
const separator = config.listen.lastIndexOf(':');
const checks = await runDoctor({
  dataDirectory: config.dataDir,
  cacheDirectory: config.cacheDir,
  listen: { host: config.listen.slice(0, separator), port: Number(config.listen.slice(separator + 1)) },
  acceleration: setting,
  accelerationDeadlineMs: 10_000,
  accelerationCacheFile: join(config.cacheDir, 'acceleration.json'),
  capacity: defaultCapacity,
  defaultMemoryMB: limits.memoryMBDefault,
  guestCertificates: config.guestCertificates,
  guestProxy: config.guestProxy,
  findImage: async () => {
    const images = await findImages(config.cacheDir);
    if (images === undefined) return {};
    return { kernel: images.kernel, rootFileSystem: images.rootfs, jailer: images.jailer };
  },
  describeNetwork: async () => networkCheck(describeNetworkMode(await detectNetworkMode())),
});
const color = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
process.stdout.write(
  values.json === true ? `${formatChecksAsJson(checks)}\n` : formatChecks(checks, { color }),
);
// A check that hangs must not keep the command alive.
process.exit(exitCode(checks));
