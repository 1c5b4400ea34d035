/** What measurements use of the worker: the machine alone, without its API. Nothing else uses it. */
export { linkFile, OverlayStock } from './disk/overlay.ts';
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
export { hangUpAndWait } from './machine/agent-port.ts';
export { machineArgv, machineFiles, socketsByName } from './machine/argv.ts';
export { layersOf, linkLayers, makeOverlay, makeRunDirectory, runDirectory } from './machine/directory.ts';
export { launch, type Launched, waitUntilLoaded } from './machine/launch.ts';
export { snapshotFiles } from './machine/manifest.ts';
export { machineSetup, type Platform, processPrefix } from './machine/platform.ts';
export { endProcess, findProcesses } from './machine/process.ts';
export { copyRamImage, dirtyRuns, findMapping, saveDirtyPages } from './machine/ram.ts';
export { saveDevices } from './machine/snapshot.ts';
export { networkArgs } from './network/args.ts';
export { detectNetworkMode, openNetwork } from './network/index.ts';
export { type NetworkSlot } from './network/types.ts';
export { type Template, TemplateStore } from './templates/store.ts';
