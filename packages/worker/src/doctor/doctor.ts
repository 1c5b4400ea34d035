import { certificateCheck } from './certificate-check.ts';
import { runCheck } from './checks.ts';
import type { Check, CheckDefinition, DoctorConfig } from './checks.ts';
import { proxyCheck } from './guest-proxy-check.ts';
import { programChecks } from './program-checks.ts';
import { resourceChecks } from './resource-checks.ts';
import { systemChecks } from './system-checks.ts';

export type { Check, DoctorConfig } from './checks.ts';
export { formatChecks, formatChecksAsJson } from './doctor-report.ts';

const network: CheckDefinition = {
  id: 'network',
  title: 'Network',
  run: (config) => config.describeNetwork(),
};

const definitions: readonly CheckDefinition[] = [
  ...programChecks,
  network,
  ...systemChecks,
  ...resourceChecks,
  certificateCheck,
  proxyCheck,
];

/** Checks everything that the platform needs of this host. Never rejects: a check that cannot run has failed. */
export function runDoctor(config: DoctorConfig): Promise<Check[]> {
  return Promise.all(definitions.map((definition) => runCheck(definition, config)));
}

/** The exit status of the command: 1 if any check failed, else 0. */
export function exitCode(checks: readonly Check[]): 0 | 1 {
  return checks.some(({ status }) => status === 'fail') ? 1 : 0;
}
