import { checkOptions } from './check-options.ts';
import { requestOptions } from './config.ts';
import { changeTimeoutMs } from './checkpoints.ts';
import { optionNames } from './option-names.ts';
import type { RequestOptions } from './config.ts';
import type { HttpClient } from './http.ts';
import type { WireSandbox } from './wire.ts';

/** Options of `wake`. */
export interface WakeOptions extends RequestOptions {
  /** Idle timeout from now on, in seconds; 0: never. Default: the one it had. */
  timeout?: number | undefined;
}

/** See `Sandbox.hibernate`. */
export async function hibernate(http: HttpClient, path: string, options: RequestOptions): Promise<void> {
  await http.json(change(`${path}/hibernate`, {}, requestOptions('hibernate', options)));
}

/** See `Sandbox.wake`. @returns the server's new data about it */
export async function wake(http: HttpClient, path: string, options: WakeOptions): Promise<WireSandbox> {
  const { timeout, ...limits } = checkOptions('wake', options, optionNames.wake);
  return (await http.json(change(`${path}/wake`, { timeout }, limits))) as WireSandbox;
}

/** See `Sandbox.reboot`. */
export async function reboot(http: HttpClient, path: string, options: RequestOptions): Promise<void> {
  await http.done(change(`${path}/reboot`, {}, requestOptions('reboot', options)));
}

/** See `Sandbox.powerCycle`. */
export async function powerCycle(http: HttpClient, path: string, options: RequestOptions): Promise<void> {
  await http.done(change(`${path}/power-cycle`, {}, requestOptions('powerCycle', options)));
}

function change(path: string, json: object, options: RequestOptions) {
  return { method: 'POST', path, json, defaultTimeoutMs: changeTimeoutMs, ...options } as const;
}
