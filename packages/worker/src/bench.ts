/** What the benchmarks use of the worker: the machine alone, without the API. Nothing else uses this module. */
export { linkFile } from './disk/links.ts';
export { OverlayStock } from './disk/overlay.ts';
export {
  attachSession,
  commandResult,
  GuestChannel,
  quiesceGuest,
  readFile,
  removePath,
  startCommand,
  writeFile,
} from './guest/index.ts';
export { probeAcceleration } from './host/acceleration.ts';
export { syncFile } from './host/atomic-file.ts';
export { readEgress } from './host/egress.ts';
export { Integrity } from './host/integrity.ts';
export { type ProcessIdentity } from './host/processes.ts';
export { findQemu } from './host/qemu.ts';
export { readDiskFreeMB } from './host/readings.ts';
export { probeFileSystem } from './host/reflink.ts';
export { hangUpAndWait } from './qemu/guest-port.ts';
export { machineArgv, machineFiles, socketsByName } from './qemu/argv.ts';
export { makeOverlay, makeRunDirectory, runDirectory } from './qemu/run-directory.ts';
export { layersOf, linkLayers } from './snapshots/link.ts';
export { launch, type Launched, waitUntilLoaded } from './qemu/launch.ts';
export { snapshotFiles } from './snapshots/manifest.ts';
export { type HostSetup, machineSetup, processPrefix } from './qemu/setup.ts';
export { endProcess, findProcesses } from './qemu/process.ts';
export { copyRamImage, dirtyRuns, findMapping, saveDirtyPages } from './qemu/ram.ts';
export { saveDevices } from './qemu/devices.ts';
export { networkArgs } from './network/args.ts';
export { detectNetworkMode, openNetwork } from './network/index.ts';
export { type NetworkSlot } from './network/types.ts';
export { type Template, TemplateStore } from './templates/store.ts';
