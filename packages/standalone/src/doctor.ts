import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { limits } from '@opencomputer/protocol';
import {
  describeNetworkMode,
  detectNetworkMode,
  exitCode,
  formatChecks,
  formatChecksAsJson,
  networkCheck,
  runDoctor,
} from '@opencomputer/worker/doctor';
import { findImages } from '@opencomputer/images';
import { readHostRules } from '@opencomputer/worker/config';
import { readConfig } from './config.ts';

const help = `Says what this host can do, and how to fix what is missing.

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

function readRules() {
  try {
    return { config: readConfig(process.env), rules: readHostRules(process.env) };
  } catch (error) {
    process.stderr.write(`doctor: ${(error as Error).message}\n`);
    process.exit(1);
  }
}

const { config, rules } = readRules();
const checks = await runDoctor({
  dataDirectory: config.dataDir,
  cacheDirectory: config.cacheDir,
  listen: config.listen,
  acceleration: rules.acceleration,
  accelerationDeadlineMs: 10_000,
  accelerationCacheFile: join(config.cacheDir, 'acceleration.json'),
  capacity: rules.capacity,
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
