import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { DiskLayer } from '../../qemu/argv.ts';
import { deleteNodes, liveDisk, liveNode, nodeNames, runDiskCommand } from '../../qemu/block-nodes.ts';
import { makeOverlay } from '../../qemu/run-directory.ts';
import { machineUid, type HostSetup } from '../../qemu/setup.ts';
import type { Machine } from '../machine.ts';
import { atStep } from '../steps.ts';

/** A file name for the next overlay of a run, different from those of its layers. */
function freeName(layers: readonly DiskLayer[], top: string): string {
  const taken = new Set([top, ...layers.map(({ file }) => file)]);
  for (let number = 1; ; number++) if (!taken.has(`disk-${number}.qcow2`)) return `disk-${number}.qcow2`;
}

/** The prefix of the names of an overlay's block nodes in QEMU; the suffix makes each unique for the machine. */
function nodePrefix(file: string): string {
  return `${basename(file, '.qcow2')}.`;
}

type OverlayParts = Pick<HostSetup, 'overlays' | 'log'>;

/**
 * An empty overlay that a machine's disk is about to be switched to. It is added to the record and to QEMU before the
 * machine is paused, since writing the record takes time. Until the switch the record is one step ahead, which does no
 * harm after a crash: an empty overlay has the content of the layers below it.
 */
export class NextOverlay {
  readonly #host: OverlayParts;
  readonly #machine: Machine;
  readonly #file: string;
  readonly #node: string;
  readonly #live: string;
  #switched = false;

  private constructor(host: OverlayParts, machine: Machine, file: string, live: string) {
    this.#host = host;
    this.#machine = machine;
    this.#file = file;
    this.#node = `${nodePrefix(file)}${randomBytes(4).toString('hex')}`;
    this.#live = live;
  }

  /** Creates it, and adds it to the record and to QEMU. When this throws, the machine is as before. */
  static async announce(host: OverlayParts, machine: Machine): Promise<NextOverlay> {
    const { layers, top, spec } = machine.record;
    const file = freeName(layers, top);
    const next = new NextOverlay(host, machine, file, await liveNode(machine.qmp));
    try {
      await makeOverlay(next.#path, host.overlays, spec.diskMB, machineUid(machine.slot));
      await machine.save({ layers: [...layers, { file: top, format: 'qcow2' }], top: file });
      await atStep('snapshot:recorded', machine.id);
      await runDiskCommand(machine.qmp, 'blockdev-add', {
        driver: 'qcow2',
        'node-name': next.#node,
        discard: 'unmap',
        'detect-zeroes': 'unmap',
        file: { driver: 'file', filename: file, discard: 'unmap' },
        backing: null,
      });
      return next;
    } catch (error) {
      await next.withdrawUnused();
      throw error;
    }
  }

  get #path(): string {
    return join(this.#machine.runDirectory, this.#file);
  }

  /** Puts it on top of a paused machine's disk; the old top is a layer from then on. */
  async switchTo(): Promise<void> {
    const nodes = { node: this.#live, overlay: this.#node };
    await runDiskCommand(this.#machine.qmp, 'blockdev-snapshot', nodes);
    this.#switched = true;
  }

  /** Removes it unless the disk was switched to it. Where that fails too, it stays in the record, empty. */
  async withdrawUnused(): Promise<void> {
    if (this.#switched) return;
    try {
      if (this.#machine.record.top === this.#file) await withdrawOverlay(this.#machine);
      else await rm(this.#path, { force: true });
    } catch (error) {
      this.#host.log.warn({ machine: this.#machine.id, err: error }, 'an empty layer stays');
    }
  }
}

/**
 * Removes an overlay that was added and never switched to, also by an earlier worker. QEMU has it open for writing, so
 * that no other machine could use it as a layer. Does nothing where there is none.
 */
export async function withdrawOverlay(machine: Machine): Promise<void> {
  const { layers, top } = machine.record;
  const old = layers.at(-1);
  const { node: live, depth } = await liveDisk(machine.qmp);
  const prefix = nodePrefix(top);
  const unused = (await nodeNames(machine.qmp)).filter((name) => name.startsWith(prefix));
  // Where QEMU has not got it either, the chain is shorter than the record says.
  const ahead = unused.length > 0 || depth === layers.length - 1;
  if (old === undefined || !ahead || live.startsWith(prefix)) return;
  await deleteNodes(machine.qmp, unused);
  await machine.save({ layers: layers.slice(0, -1), top: old.file });
  await rm(join(machine.runDirectory, top), { force: true });
}
