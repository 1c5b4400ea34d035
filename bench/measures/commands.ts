import { type GuestExecRequest, type GuestExecResult, limits, newExecId } from '@opencomputer/protocol';
import type { Sandbox } from '../../packages/sdk/src/index.ts';
import { type GuestChannel, startCommand } from '@opencomputer/worker/bench';

const waitMs = 25_000;

/** A line of shell as the server hands it to the agent. */
export function guestRequest(line: string): GuestExecRequest {
  return {
    id: newExecId(),
    argv: ['sh', '-c', line],
    timeoutMs: 60_000,
    bufferBytes: limits.execOutputBytes,
    waitMs,
  };
}

/** @throws Error unless a command ended well and printed this */
export function assertPrinted(line: string, expected: string, exitCode: number | null, stdout: string): void {
  if (exitCode !== 0 || stdout !== expected)
    throw new Error(`${line} ended with ${exitCode} and printed ${JSON.stringify(stdout.slice(0, 200))}`);
}

export function assertResult(line: string, expected: string, result: GuestExecResult): void {
  assertPrinted(line, expected, result.exitCode, Buffer.from(result.stdout, 'base64').toString('utf8'));
}

/** Runs a line of shell through the agent alone. */
export async function runDirectly(channel: GuestChannel, line: string, expected: string): Promise<void> {
  assertResult(line, expected, await startCommand(channel, guestRequest(line)));
}

/** Runs a line of shell as users do. */
export async function runInSandbox(sandbox: Sandbox, line: string, expected: string): Promise<void> {
  const { exitCode, stdout } = await sandbox.exec.run(line);
  assertPrinted(line, expected, exitCode, stdout);
}
