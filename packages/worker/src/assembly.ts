import { chmod, chown, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import type { Server } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { limits, type WorkerInfo } from '@opencomputer/protocol';
import type { Logger } from 'pino';
import packageFile from '../package.json' with { type: 'json' };
import { attachUpgrades } from './api/attach.ts';
import { EventStreams } from './api/events.ts';
import { execRoutes } from './api/exec.ts';
import { fileRoutes } from './api/files.ts';
import { makeHttpServer } from './api/http.ts';
import { sessionRoutes } from './api/sessions.ts';
import { machineRoutes } from './api/machines.ts';
import { sendJson } from './api/respond.ts';
import type { Routes } from './api/router.ts';
import { snapshotRoutes } from './api/snapshots.ts';
import { serveUpgrades } from './api/upgrade.ts';
import type { WorkerConfig } from './config.ts';
import { OverlayStock } from './disk/overlay.ts';
import { probeAcceleration } from './host/acceleration.ts';
import { Capacity } from './host/capacity.ts';
import { readEgress } from './host/egress.ts';
import { Integrity } from './host/integrity.ts';
import { openLog } from './host/log.ts';
import { findQemu } from './host/qemu.ts';
import { readDiskFreeMB, readHost, readMemory } from './host/readings.ts';
import { takeWorkerLock } from './lock.ts';
import { Changes } from './machine/changes/changes.ts';
import { recoverMachines } from './machine/changes/recover.ts';
import { injectFaults } from './machine/faults.ts';
import { MachineRegistry } from './machine/registry.ts';
import { openNetwork } from './network/index.ts';
import { keepLogsShort } from './qemu/log-file.ts';
import { endProcessesOf } from './qemu/process.ts';
import { type Images, type HostSetup, processPrefix, templateNamePrefix } from './qemu/setup.ts';
import { SnapshotStore } from './snapshots/store.ts';
import { TemplateStore } from './templates/store.ts';
import { readWorkerId } from './worker-id.ts';

const probeMs = 10_000;

export interface RunningWorker {
  socket: string;
  /** Stops serving; the machines run on. */
  close(): Promise<void>;
}

function imagesOf(config: WorkerConfig): Images {
  const images = {
    kernel: join(config.bootImage, 'kernel'),
    initramfs: join(config.bootImage, 'initramfs'),
    rootfs: join(config.rootfsImage, 'rootfs.ext4'),
    bootKey: basename(config.bootImage),
    rootfsKey: basename(config.rootfsImage),
  };
  for (const file of [images.kernel, images.initramfs, images.rootfs, config.jailer])
    if (!existsSync(file)) throw new Error(`${file} is missing; build the images first (npm run images)`);
  return images;
}

async function hostCpu(): Promise<string> {
  return /^model name\s*:\s*(.+)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
}

/** Directories of the worker below its data directory, and its id, which is kept there. */
async function makeDirectories(
  config: WorkerConfig,
): Promise<{ machines: string; network: string; snapshots: string; trash: string; workerId: string }> {
  const root = join(config.dataDir, 'worker');
  const existing = existsSync(join(root, 'machines'));
  const directories = {
    machines: join(root, 'machines'),
    network: join(root, 'network'),
    snapshots: join(root, 'snapshots'),
    trash: join(root, 'trash'),
  };
  await mkdir(config.dataDir, { recursive: true, mode: 0o755 });
  // The server may pass through this directory to reach the socket; what lies deeper is closed to it.
  await mkdir(root, { recursive: true, mode: 0o711 });
  // Before what says that an older release has been here.
  const workerId = await readWorkerId(join(root, 'id'), existing);
  for (const directory of Object.values(directories))
    await mkdir(directory, { recursive: true, mode: 0o700 });
  return { ...directories, workerId };
}

async function setUpHost(
  config: WorkerConfig,
  directories: { network: string; trash: string },
  log: Logger,
): Promise<HostSetup> {
  const egress = await readEgress(config.guestCertificates, config.guestProxy);
  const qemu = await findQemu();
  const images = imagesOf(config);
  const acceleration = await probeAcceleration({
    setting: config.acceleration,
    qemu: qemu.path,
    kernel: images.kernel,
    jailer: config.jailer,
    cacheFile: join(config.cacheDir, 'acceleration.json'),
    deadlineMs: probeMs,
    log,
  });
  const network = await openNetwork({
    instanceTag: config.instanceTag,
    stateDir: directories.network,
    warm: config.warmNetworks,
    log,
    ...(config.subnet === undefined ? {} : { subnet: config.subnet }),
  });
  return {
    instanceTag: config.instanceTag,
    qemu,
    jailer: config.jailer,
    acceleration,
    hostCpu: await hostCpu(),
    images,
    overlays: new OverlayStock(join(config.cacheDir, 'overlays'), qemu.imagePath),
    integrity: new Integrity(qemu.imagePath),
    network,
    egress,
    trash: directories.trash,
    log,
  };
}

function infoRoutes(
  workerId: string,
  config: WorkerConfig,
  host: HostSetup,
  registry: MachineRegistry,
  templates: TemplateStore,
): Routes {
  const { maxMachines, memoryOvercommit } = config.capacity;
  return {
    'GET /v1/worker': async ({ response }) => {
      const machines = registry.list();
      const info: WorkerInfo = {
        workerId,
        version: packageFile.version,
        accelerator: host.acceleration.accelerator,
        accelerationReason: host.acceleration.reason,
        networkMode: host.network.mode,
        qemuVersion: host.qemu.version.text,
        templates: templates.names(),
        machines: machines.length,
        committedMemoryMB: machines.reduce((sum, machine) => sum + machine.spec.memoryMB, 0),
        freeDiskMB: Math.floor(await readDiskFreeMB(config.dataDir)),
        capacity: {
          machines: maxMachines,
          memoryMB: Math.floor(memoryOvercommit * (await readMemory()).totalMB),
        },
      };
      sendJson(response, 200, info);
    },
  };
}

async function listen(server: Server, config: WorkerConfig): Promise<void> {
  await mkdir(dirname(config.socket), { recursive: true });
  // A socket of an earlier worker; since we hold the lock, nobody listens on it.
  await rm(config.socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.socket, resolve);
  });
  await chmod(config.socket, 0o600);
  if (config.socketOwner !== undefined)
    await chown(config.socket, config.socketOwner.uid, config.socketOwner.gid);
}

/** The most common shape is built before anybody asks for it. */
function prepareDefaultShape(templates: TemplateStore, log: Logger): void {
  const { cpuCountDefault, memoryMBDefault, diskMBDefault } = limits;
  const shape = { cpuCount: cpuCountDefault, memoryMB: memoryMBDefault, diskMB: diskMBDefault };
  templates.get('base', shape).catch((error: unknown) => {
    log.error({ err: error }, 'the default template could not be prepared; the first create tries again');
  });
}

/** Machines outlive the worker; a half-built template is of no use. */
function endTemplateBuilds(instanceTag: string): Promise<void> {
  return endProcessesOf(processPrefix(instanceTag) + templateNamePrefix);
}

async function emptyTrash(trash: string): Promise<void> {
  for (const entry of await readdir(trash)) await rm(join(trash, entry), { recursive: true, force: true });
}

/**
 * Starts the worker of this host: takes over the machines that run, cleans up what a crash left, serves the API.
 * @throws Error when the host lacks something, with what to do about it
 */
export async function startWorker(config: WorkerConfig): Promise<RunningWorker> {
  const log = openLog(config.logLevel);
  if (config.testFaults !== undefined) {
    log.warn({ file: config.testFaults }, 'faults are injected, for tests');
    injectFaults(config.testFaults, config.instanceTag);
  }
  const lock = await takeWorkerLock(config.instanceTag, config.dataDir);
  const directories = await makeDirectories(config);
  const host = await setUpHost(config, directories, log);
  const templates = new TemplateStore(join(config.cacheDir, 'templates'), host);
  await templates.open();
  const capacity = new Capacity({
    config: config.capacity,
    readings: () => readHost(config.dataDir),
  });
  const logs = keepLogsShort(directories.machines, log);
  const events = new EventStreams();
  const snapshots = new SnapshotStore(directories.snapshots, directories.trash);
  await snapshots.open();
  const registry = new MachineRegistry();
  const changes = new Changes({
    host,
    registry,
    templates,
    snapshots,
    capacity,
    directory: directories.machines,
    onFailed: (id, reason) => events.publish({ type: 'machineFailed', id, reason }),
    onRestarted: (id) => events.publish({ type: 'machineRestarted', id }),
  });
  const recovery = await recoverMachines({
    runner: changes.runner,
    registry,
    capacity,
    directory: directories.machines,
  });
  const swept = await host.network.sweep([]);
  await emptyTrash(directories.trash);
  log.info({ ...recovery, sweptNetworks: swept }, 'recovered');

  const server = makeHttpServer(
    {
      ...infoRoutes(directories.workerId, config, host, registry, templates),
      ...machineRoutes(registry, changes),
      ...snapshotRoutes(snapshots, changes),
      ...execRoutes(registry),
      ...fileRoutes(registry),
      ...sessionRoutes(registry),
      ...events.routes(),
    },
    log,
  );
  const breakOff = serveUpgrades(server, attachUpgrades(registry, log), log);
  await listen(server, config);
  prepareDefaultShape(templates, log);
  log.info({ socket: config.socket, accelerator: host.acceleration.accelerator }, 'listening');
  return {
    socket: config.socket,
    close: async () => {
      logs[Symbol.dispose]();
      events.close();
      server.close();
      server.closeAllConnections();
      breakOff();
      for (const machine of registry.allRunning()) machine.expectEnd();
      await endTemplateBuilds(config.instanceTag);
      await host.network.close({ keep: true });
      lock.close();
    },
  };
}
