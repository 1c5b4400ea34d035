import { chmod, stat } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import type { Block } from './addresses.ts';
import { enableForwarding, gatewayOf, removeBridge, restoreBridge } from './bridge.ts';
import { closeFirewall, openFirewall } from './firewall.ts';
import type { Names } from './names.ts';
import { hostRules } from './rules.ts';
import { run } from './run.ts';
import type { NetworkLog } from './types.ts';

const checkEveryMs = 10_000;

export interface HostOptions {
  /** Milliseconds between checks. */
  checkMs?: number | undefined;
  names: Names;
  block: Block;
  dnsPort: number;
  log: NetworkLog;
  /** Called when the bridge had to be made again, so that no slot is attached to it any more. */
  onBridgeRestored: () => Promise<void>;
}

/**
 * Lets a machine's unprivileged process open its own tap. To open the device is harmless: only the owner of a tap, or
 * an administrator, may attach to it. On most systems it is open anyway.
 */
export async function openTunDevice(log: NetworkLog): Promise<void> {
  const device = '/dev/net/tun';
  const { mode } = await stat(device);
  if ((mode & 0o006) === 0o006) return;
  await chmod(device, 0o666);
  log.info({ device }, 'made the tap device accessible to the machines\u2019 users');
}

/** The host's half of the policy: rules and routing, restored when other software removes them. */
export class Host {
  readonly #options: HostOptions;
  #timer: NodeJS.Timeout | undefined;
  #check: Promise<void> | undefined;
  #lastFault = '';
  #lastForeign = '';

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** Puts everything in place, then checks it over and over. */
  async start(): Promise<void> {
    await this.#applyRules();
    try {
      await this.#passFirewall();
    } catch (error) {
      // If this fails machines may have no network, but never more than the policy allows.
      this.#complain(error, 'the host\u2019s firewall could not be opened for machines');
    }
    this.#timer = setInterval(() => {
      this.#check ??= this.check().finally(() => {
        this.#check = undefined;
      });
    }, this.#options.checkMs ?? checkEveryMs).unref();
  }

  /** Ends the checks and leaves the rules in place. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#check;
  }

  /** Removes everything; to be called after `stop`. */
  async remove(): Promise<void> {
    const { names } = this.#options;
    await run(['nft', '-f', '-'], {
      input: `add table inet ${names.table}\ndelete table inet ${names.table}\n`,
    });
    await closeFirewall(names.bridge);
    await removeBridge(names);
  }

  /** Restores what has changed. Never fails; failures are logged. */
  async check(): Promise<void> {
    const { names, block, log, onBridgeRestored } = this.#options;
    try {
      await enableForwarding();
      const addresses = networkInterfaces()[names.bridge] ?? [];
      if (!addresses.some(({ address }) => address === gatewayOf(block))) {
        log.warn({ bridge: names.bridge }, 'the bridge was removed or taken down; making it again');
        await restoreBridge(names, block);
        await onBridgeRestored();
      }
      const listed = await run(['nft', 'list', 'table', 'inet', names.table], { accept: [0, 1] });
      if (listed.code !== 0) {
        log.warn({ table: names.table }, 'the host rules were removed; setting them again');
        await this.#applyRules();
      }
      await this.#passFirewall();
      this.#lastFault = '';
    } catch (error) {
      this.#complain(error, 'the host network could not be kept in order');
    }
  }

  /** Logs a fault once, not at every check. */
  #complain(error: unknown, what: string): void {
    const fault = String(error);
    if (fault !== this.#lastFault) this.#options.log.error({ err: error }, what);
    this.#lastFault = fault;
  }

  async #applyRules(): Promise<void> {
    const { names, block, dnsPort } = this.#options;
    await run(['nft', '-f', '-'], {
      input: hostRules({ ...names, block, gateway: gatewayOf(block), dnsPort }),
    });
  }

  async #passFirewall(): Promise<void> {
    const { names, block, dnsPort, log } = this.#options;
    const foreign = await openFirewall({ bridge: names.bridge, gateway: gatewayOf(block), dnsPort });
    const text = foreign.join(', ');
    if (foreign.length > 0 && text !== this.#lastForeign) {
      log.warn(
        { chains: foreign },
        `another firewall drops by default; if machines have no network, let traffic of ${names.bridge} through it`,
      );
    }
    this.#lastForeign = text;
  }
}
