import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { noEgress } from '../../host/egress.ts';
import { childIdentity } from '../../host/processes.ts';
import { machineFiles } from '../../qemu/argv.ts';
import { Qmp } from '../../qemu/qmp.ts';
import { runDirectory } from '../../qemu/run-directory.ts';
import { scratchDirectory } from '../../testing/scratch.ts';
import { Gate } from '../gate.ts';
import { Machine } from '../machine.ts';
import type { MachineRecord } from '../record.ts';

export const id = 'sb-01234567';
/** Its record. */
export const record: MachineRecord = {
  format: 1,
  id,
  spec: { template: 'base', cpuCount: 1, memoryMB: 256, diskMB: 20_480, hostname: id, env: {} },
  origin: '0'.repeat(32),
  run: 1,
  layers: [{ file: 'layer-0', format: 'raw' }],
  top: 'disk.qcow2',
  hibernated: false,
  hibernationBytes: 4096,
  startedFrom: 'memory',
  machineId: 'f'.repeat(32),
  accelerator: 'tcg',
  slot: 0,
  uid: 300_000,
  ready: true,
  deleting: false,
  startedAt: '2026-01-01T00:00:00.000Z',
  timings: {},
};

/** A machine for a registry: a process that runs, and a monitor that answers every command and sends no events. */
export async function startMachine(change: Partial<MachineRecord> = {}): Promise<Machine> {
  const directory = await scratchDirectory();
  const path = join(runDirectory(directory, 1), machineFiles.qmp);
  await mkdir(runDirectory(directory, 1));
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write('{"QMP": {}}\n');
    socket.on('data', () => socket.write('{"return": {}, "id": 1}\n'));
  });
  server.listen(path);
  await once(server, 'listening');
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  onTestFinished(() => {
    child.kill('SIGKILL');
    server.close();
  });
  const identity = childIdentity(child.pid ?? 0);
  if (identity === undefined) throw new Error('there is no process');
  const machine = new Machine(
    {
      directory,
      record: { ...record, ...change },
      slot: { mode: 'user', index: 0, uid: 300_000 },
      gate: new Gate(),
      launched: { process: { identity, child }, qmp: await Qmp.connect(path, 5000, () => true) },
      egress: noEgress,
      log: pino({ level: 'silent' }),
    },
    () => undefined,
  );
  onTestFinished(() => machine.expectEnd());
  return machine;
}
