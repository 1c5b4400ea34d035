/** What the doctor command is made of. */
export { exitCode, formatChecks, formatChecksAsJson, runDoctor } from './host/doctor.ts';
export { networkCheck } from './host/network-check.ts';
export { describeNetworkMode, detectNetworkMode } from './network/index.ts';
