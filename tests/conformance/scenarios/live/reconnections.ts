import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { CuttingProxy } from './cutting-proxy.ts';
import { patience, recorder } from './recorder.ts';
import { lines } from './sessions.ts';
import type { SandboxHandle } from '../../clients/client.ts';
import type { Context, Scenario } from '../scenario.ts';

const cannot = { published: 'it does not come back after a lost connection' };

/** Runs with the shared sandbox behind a connection that can be cut. */
function behindProxy(run: (sandbox: SandboxHandle, proxy: CuttingProxy) => Promise<void>): Scenario['run'] {
  return async ({ client, sandbox }: Context) => {
    await using proxy = await CuttingProxy.start();
    await run(await client.connect(sandbox.sandboxId, { apiUrl: proxy.url }), proxy);
  };
}

/** What a client does about a broken connection. */
export const reconnectionScenarios: Scenario[] = [
  {
    name: 'connections that break lose and double no output',
    cannot,
    run: behindProxy(async (sandbox, proxy) => {
      const seen = recorder();
      const script = 'for n in $(seq 1 3000); do echo $n; [ $((n % 30)) = 0 ] && sleep 0.05; done; true';
      const session = await sandbox.exec.start('bash', { args: ['-c', script], ...seen });
      for (let cut = 1; cut <= 5; cut += 1) {
        const before = seen.stdout.length;
        const away = cut % 2 === 0;
        const { refused } = proxy;
        proxy.cut({ away });
        if (away)
          await expect.poll(() => seen.exits.length > 0 || proxy.refused > refused, patience).toBe(true);
        proxy.restore();
        await expect.poll(() => seen.exits.length > 0 || seen.stdout.length > before, patience).toBe(true);
      }
      expect(await session.done).toBe(0);
      expect(String(seen.stdout)).toBe(lines(1, 3000));
      expect(seen.gaps).toEqual([]);
      expect(proxy.connections).toBeGreaterThan(3);
    }),
  },
  {
    name: 'connections that break lose and double no input',
    cannot,
    run: behindProxy(async (sandbox, proxy) => {
      const seen = recorder();
      const session = await sandbox.exec.start('sha256sum', seen);
      const hash = createHash('sha256');
      const sent: unknown[] = [];
      for (let piece = 0; piece < 60; piece += 1) {
        const data = Buffer.alloc(50_000 + piece, piece + 1);
        hash.update(data);
        sent.push(session.sendStdin(data));
        if (piece % 15 === 7) {
          await expect.poll(() => proxy.bytes, patience).toBeGreaterThan(0);
          proxy.cut();
        }
      }
      await Promise.all(sent);
      await session.closeStdin?.();
      expect(await session.done).toBe(0);
      expect(String(seen.stdout)).toBe(`${hash.digest('hex')}  -\n`);
    }),
  },
  {
    name: 'a shell goes on in the middle of a command when its connection breaks',
    cannot,
    run: behindProxy(async (sandbox, proxy) => {
      const shell = await sandbox.exec.shell();
      let heard = 0;
      const pending = shell.run('for n in $(seq 1 20); do echo $n; sleep 0.1; done; echo err >&2; (exit 4)', {
        onStdout: (data) => (heard += data.length),
      });
      await expect.poll(() => heard, patience).toBeGreaterThan(0);
      proxy.cut();
      expect(await pending).toMatchObject({ exitCode: 4, stdout: lines(1, 20), stderr: 'err\n' });
      await shell.close();
    }),
  },
];
