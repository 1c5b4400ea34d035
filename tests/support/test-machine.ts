import { randomBytes } from 'node:crypto';
import type { GuestExecResult, MachineInfo, SnapshotInfo } from '@opencomputer/protocol';
import type { SocketAnswer, SocketCall } from './socket-call.ts';
import type { TestWorker } from './worker.ts';

export interface CommandEnd {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** A machine under test, at the worker's own API. */
export class TestMachine {
  readonly worker: TestWorker;
  readonly id: string;

  constructor(worker: TestWorker, id: string) {
    this.worker = worker;
    this.id = id;
  }

  call(method: string, path: string, call: SocketCall = {}): Promise<SocketAnswer> {
    return this.worker.call(method, `/v1/machines/${this.id}${path}`, call);
  }

  ask<Body>(method: string, path: string, call: SocketCall = {}): Promise<Body> {
    return this.worker.ask<Body>(method, `/v1/machines/${this.id}${path}`, call);
  }

  /** Starts a line of bash and does not wait for its end. @returns its id */
  async begin(line: string, user: 'sandbox' | 'root' = 'root'): Promise<string> {
    const id = randomBytes(4).toString('hex');
    const json = { id, argv: ['bash', '-c', line], user, waitMs: 0 };
    await this.ask<GuestExecResult>('POST', '/exec', { json });
    return id;
  }

  /** Waits until a command has ended. */
  async end(execId: string): Promise<CommandEnd> {
    for (;;) {
      const result = await this.ask<GuestExecResult>('GET', `/exec/${execId}?waitMs=30000`);
      if (!result.running) return commandEnd(result);
    }
  }

  /** Runs a line of bash to its end. */
  async run(line: string, user: 'sandbox' | 'root' = 'root'): Promise<CommandEnd> {
    const id = randomBytes(4).toString('hex');
    const json = { id, argv: ['bash', '-c', line], user, waitMs: 30_000 };
    const result = await this.ask<GuestExecResult>('POST', '/exec', { json });
    return result.running ? this.end(id) : commandEnd(result);
  }

  /** Output of a line of bash that must succeed, without the last newline. */
  async output(line: string, user: 'sandbox' | 'root' = 'root'): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(line, user);
    if (exitCode !== 0) throw new Error(`${line}: exit code ${exitCode}\n${stdout}\n${stderr}`);
    return stdout.trimEnd();
  }

  async write(path: string, body: SocketCall['body']): Promise<void> {
    await this.ask('PUT', `/files?path=${encodeURIComponent(path)}`, body === undefined ? {} : { body });
  }

  info(): Promise<MachineInfo> {
    return this.ask('GET', '');
  }

  hibernate(): Promise<{ sizeBytes: number }> {
    return this.ask('POST', '/hibernate');
  }

  wake(): Promise<MachineInfo> {
    return this.ask('POST', '/wake', { withinMs: 600_000 });
  }

  reboot(hard: boolean): Promise<MachineInfo> {
    return this.ask('POST', '/reboot', { json: { hard }, withinMs: 600_000 });
  }

  restore(snapshot: string): Promise<MachineInfo> {
    return this.ask('POST', '/restore', { json: { snapshot }, withinMs: 600_000 });
  }

  snapshot(kind: 'full' | 'disk_only' = 'full'): Promise<SnapshotInfo> {
    return this.worker.takeSnapshot(this.id, kind);
  }

  async delete(): Promise<void> {
    await this.ask('DELETE', '');
  }
}

function commandEnd(result: GuestExecResult): CommandEnd {
  return {
    exitCode: result.exitCode ?? -1,
    stdout: Buffer.from(result.stdout, 'base64').toString('utf8'),
    stderr: Buffer.from(result.stderr, 'base64').toString('utf8'),
  };
}
