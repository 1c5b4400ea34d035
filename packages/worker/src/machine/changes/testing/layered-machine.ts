import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { OverlayStock } from '../../../disk/overlay.ts';
import { noEgress } from '../../../host/egress.ts';
import { findQemu } from '../../../host/qemu.ts';
import { type DiskLayer, machineArgv, machineFiles, socketsByName } from '../../../qemu/argv.ts';
import { launch } from '../../../qemu/launch.ts';
import { endProcess } from '../../../qemu/process.ts';
import { makeOverlay, makeRunDirectory, runDirectory } from '../../../qemu/run-directory.ts';
import { assembleCounter, memoryMB } from '../../../qemu/testing/counter.ts';
import { scratchDirectory } from '../../../testing/scratch.ts';
import { Gate } from '../../gate.ts';
import { Machine } from '../../machine.ts';
import type { MachineRecord } from '../../record.ts';
import { NextOverlay } from '../next-overlay.ts';

const execute = promisify(execFile);
const diskMB = 64;
/** What is written for each layer: its own byte at its own place. */
const pieceBytes = 1024 * 1024;

function recordOf(layers: readonly DiskLayer[]): MachineRecord {
  return {
    format: 1,
    id: 'sb-01234567',
    spec: { template: 'base', cpuCount: 1, memoryMB, diskMB, hostname: 'layered', env: {} },
    origin: 'counter',
    run: 1,
    layers: [...layers],
    top: machineFiles.disk,
    hibernated: false,
    hibernationBytes: 0,
    startedFrom: 'disk',
    machineId: '0'.repeat(32),
    accelerator: 'tcg',
    slot: 0,
    uid: process.getuid?.() ?? 0,
    ready: true,
    deleting: false,
    startedAt: new Date().toISOString(),
    timings: {},
  };
}

/**
 * A machine with a disk of layers, without a guest agent and a network. Its guest only counts: what is on the disk is
 * written and read through QEMU's monitor.
 */
export class LayeredMachine {
  readonly machine: Machine;
  readonly parts: { overlays: OverlayStock; log: pino.Logger };
  readonly #imageTool: string;
  #pieces = 0;

  private constructor(machine: Machine, parts: LayeredMachine['parts'], imageTool: string) {
    this.machine = machine;
    this.parts = parts;
    this.#imageTool = imageTool;
  }

  /** Starts one under emulation, with the two layers of a template. It ends with the test. */
  static async start(): Promise<LayeredMachine> {
    const directory = await scratchDirectory();
    const qemu = await findQemu();
    const parts = {
      overlays: new OverlayStock(join(directory, 'overlays'), qemu.imagePath),
      log: pino({ level: 'silent' }),
    };
    const run = runDirectory(directory, 1);
    await makeRunDirectory(run, undefined);
    await assembleCounter(run);
    await writeFile(join(run, machineFiles.ram), '');
    const layers = [
      { file: 'boot.img', format: 'raw' },
      { file: 'layer-1', format: 'qcow2' },
    ] as const;
    for (const file of ['layer-1', machineFiles.disk])
      await makeOverlay(join(run, file), parts.overlays, diskMB, undefined);
    const argv = machineArgv({
      name: 'layered',
      features: qemu.features,
      accelerator: 'tcg',
      cpuModel: 'max,-erms,-fsrm',
      cpuCount: 1,
      memoryMB,
      ram: 'shared',
      layers,
      top: machineFiles.disk,
      network: [],
      guestMac: '',
      sockets: socketsByName,
      start: { kind: 'restore' },
    });
    // It boots from the lowest layer.
    argv.splice(argv.indexOf('-S'));
    const launched = await launch({
      qemu: qemu.path,
      argv,
      directory: run,
      logFile: join(directory, 'qemu.log'),
    });
    onTestFinished(() => endProcess(launched.process.identity));
    const slot = { mode: 'user', index: 0, uid: process.getuid?.() ?? 0 } as const;
    const machine = new Machine(
      {
        directory,
        record: recordOf(layers),
        slot,
        gate: new Gate(),
        launched,
        egress: noEgress,
        log: parts.log,
      },
      () => undefined,
    );
    onTestFinished(() => machine.expectEnd());
    return new LayeredMachine(machine, parts, qemu.imagePath);
  }

  /** Writes one more piece to the disk. */
  async write(): Promise<void> {
    this.#pieces++;
    const command = `write -P ${this.#pieces} ${this.#pieces * pieceBytes} ${pieceBytes}`;
    const printed = await this.machine.qmp.run('human-monitor-command', {
      'command-line': `qemu-io -d /machine/peripheral/disk/virtio-backend "${command}"`,
    });
    if (printed !== '') throw new Error(`${command}: ${String(printed)}`);
  }

  /**
   * Reads every piece that was written, through the layers that the record names: what the machine would see after a
   * new start. @throws Error when one is not what it was
   */
  async verify(): Promise<void> {
    const { machine } = this;
    const { layers, top } = machine.record;
    // QEMU writes the rest of the image's tables when it is paused.
    await machine.qmp.run('stop');
    await machine.qmp.run('cont');
    const chain = [...layers, { file: top, format: 'qcow2' }].reduce<object | undefined>(
      (backing, { file, format }) => ({
        driver: format,
        file: { driver: 'file', filename: join(machine.runDirectory, file) },
        ...(format === 'qcow2' ? { backing: backing ?? null } : {}),
      }),
      undefined,
    );
    const raw = join(machine.directory, 'verified.img');
    await execute(this.#imageTool, ['convert', '-U', '-O', 'raw', `json:${JSON.stringify(chain)}`, raw]);
    const bytes = await readFile(raw);
    for (let piece = 1; piece <= this.#pieces; piece++) {
      const found = bytes.subarray(piece * pieceBytes, (piece + 1) * pieceBytes);
      if (!found.equals(Buffer.alloc(pieceBytes, piece))) throw new Error(`piece ${piece} was lost`);
    }
  }

  /** Puts the next overlay on top, as a snapshot does. */
  async addLayer(): Promise<void> {
    const { qmp } = this.machine;
    const next = await NextOverlay.announce(this.parts, this.machine);
    try {
      await qmp.run('stop');
      await next.switchTo();
    } finally {
      await next.withdrawUnused();
      await qmp.run('cont');
    }
  }
}
