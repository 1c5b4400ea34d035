/** The doctor command. */
export { exitCode, formatChecks, formatChecksAsJson, runDoctor } from './doctor.ts';
export { networkCheck } from './network-check.ts';
export { describeNetworkMode, detectNetworkMode } from '../network/index.ts';
