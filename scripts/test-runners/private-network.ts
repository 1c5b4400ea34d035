import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { ForksPoolWorker, type PoolOptions, type PoolWorker } from 'vitest/node';
import { privateNetworkVariable } from '../../packages/worker/src/network/testing/private-network.ts';

/**
 * Runs what follows in network and mount namespaces of its own: an empty network with a loopback, empty firewalls, no
 * other namespaces, and a /sys that shows this network. All of it goes with the last process that runs there.
 */
const inPrivateNetwork = [
  'unshare',
  '--net',
  '--mount',
  '--propagation',
  'private',
  '--',
  'sh',
  '-ec',
  `mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
mount -t sysfs sysfs /sys
ip link set lo up
export ${privateNetworkVariable}="$(readlink /proc/self/ns/net)"
exec "$@"`,
  'sh',
] as const;

const [program, ...setUp] = inPrivateNetwork;
const PATH = `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`;

/** Whether this host lets us make such a network: root with all capabilities does. */
function isPossible(): boolean {
  return (
    spawnSync(program, [...setUp, 'true'], { stdio: 'ignore', env: { ...process.env, PATH } }).status === 0
  );
}

class PrivateNetworkWorker extends ForksPoolWorker implements PoolWorker {
  override async start(): Promise<void> {
    const child: ChildProcess = fork(this.entrypoint, [], {
      env: { ...this.env, PATH },
      execPath: program,
      execArgv: [...setUp, process.execPath, ...this.execArgv],
      stdio: 'pipe',
      serialization: 'advanced',
    });
    // The class forks by itself only where there is no process yet; tests refuse to run where this no longer holds.
    Object.assign(this, { _fork: child });
    await super.start();
  }
}

/** A pool for vitest whose test files each have a network of their own, where the host allows that. */
export const privateNetworks = {
  name: 'private-network',
  createPoolWorker: (options: PoolOptions): PoolWorker =>
    isPossible() ? new PrivateNetworkWorker(options) : new ForksPoolWorker(options),
};
