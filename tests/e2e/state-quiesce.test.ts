import { describe, expect, it } from 'vitest';
import { startSession } from '../support/live-client.ts';
import { sharedApi } from '../support/shared.ts';

const long = process.env['OPENCOMPUTER_TEST_LONG'] === '1';
const pairs = Number(process.env['OPENCOMPUTER_TEST_PAIRS'] ?? (long ? 300 : 4));
const minutes = 60_000;
const kinds = ['disk_only', 'full'] as const;
/** Work that keeps processor and disk of the guest busy. */
const load = 'while :; do dd if=/dev/zero of=/home/sandbox/load bs=1M count=20 conv=fsync 2>/dev/null; done';

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

function describeTimes(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const shown = [0.5, 0.9, 0.99, 1].map((share) => Math.round(quantile(sorted, share)));
  return `median ${shown[0]}, 90 % ${shown[1]}, 99 % ${shown[2]}, longest ${shown[3]} ms`;
}

describe('after a live checkpoint', () => {
  it.each([
    ['at rest', undefined],
    ['under load', load],
  ])(
    `the first command is as quick as after a wake, ${pairs} times of each kind, %s`,
    { timeout: 3 * minutes + pairs * 20_000 },
    async (when, work) => {
      const sandbox = await sharedApi().create();
      if (work !== undefined) await startSession(sandbox, 'bash', ['-c', work]);
      const expectDone = async (method: string, path: string, json?: unknown) => {
        const answer = await sandbox.call(method, path, { json });
        expect(answer.status, `${path}: ${answer.text}`).toBeLessThan(300);
        expect(answer.body['error'], path).toBeUndefined();
        return answer.body;
      };
      const first = (): Promise<number> => milliseconds(() => sandbox.output('true'));
      // What a new connection to the guest costs, on this host and now: the host hangs up for each of these, too.
      const base: number[] = [];
      for (let index = 0; index < Math.min(pairs, 30); index++) {
        await expectDone('POST', '/hibernate', {});
        await expectDone('POST', '/wake', {});
        const [connected, again] = [await first(), await first()];
        base.push(Math.max(connected, again));
      }
      const longest = Math.max(1000, 4 * Math.max(...base));
      for (const kind of kinds) {
        const times: number[] = [];
        for (let index = 0; index < pairs; index++) {
          const name = `${kind}-${index}`;
          const { id, quiesced } = await expectDone('POST', '/checkpoints', { name, kind });
          expect(quiesced).toBe(true);
          times.push(await first());
          await expectDone('DELETE', `/checkpoints/${String(id)}`);
        }
        process.stdout.write(`${kind}, ${when}: ${describeTimes(times)}; others: ${describeTimes(base)}\n`);
        expect(Math.max(...times), `${kind}, ${when}`).toBeLessThan(longest);
      }
      await sandbox.delete();
    },
  );
});
