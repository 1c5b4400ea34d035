// Run by the tests and killed: a process that opens a network, claims slots and prints them.
import { openNetwork } from '../index.ts';
import type { NetworkLog } from '../types.ts';

const [instanceTag = '', stateDir = '', resolvConf = '', count = '1'] = process.argv.slice(2);
const quiet = (): void => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet } as unknown as NetworkLog;
const network = await openNetwork({ instanceTag, stateDir, resolvConf, warm: 1, log, mode: 'namespace' });
const slots = await Promise.all(Array.from({ length: Number(count) }, () => network.claim()));
process.stdout.write(`${JSON.stringify(slots)}\n`);
// Held open until killed.
setInterval(quiet, 60_000);
