import { randomBytes } from 'node:crypto';
import type { Identity } from '@opencomputer/protocol';
import type { MachineRecord } from './record.ts';

const entropyBytes = 64;

/**
 * What makes a restored guest this machine. Made anew for every handshake: the time goes on, and entropy is used only
 * once.
 */
export function identityOf(record: MachineRecord): Identity {
  // Date.now() has milliseconds; performance.now() adds the fraction.
  const nanoseconds = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
  return {
    clockUnixNs: nanoseconds.toString(),
    entropy: randomBytes(entropyBytes).toString('base64'),
    hostname: record.spec.hostname,
    machineId: record.machineId,
    env: record.spec.env,
  };
}
