import type { Finding } from '../finding.ts';
import type { BareHost } from '../floor.ts';
import type { Options } from '../options.ts';
import type { BenchPlatform } from '../platform.ts';

/** What every measure works with. */
export interface Context {
  platform: BenchPlatform;
  bare: BareHost;
  options: Options;
  /** Tells people what goes on. */
  say: (text: string) => void;
}

export type Measurement = (context: Context) => Promise<Finding[]>;

/** Runs something and says how many milliseconds it took. */
export async function timed<Result>(work: () => Promise<Result>): Promise<{ result: Result; ms: number }> {
  const started = performance.now();
  const result = await work();
  return { result, ms: performance.now() - started };
}
