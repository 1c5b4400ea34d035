import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { apiUrl, getSandbox, request, secondKey } from '../raw-api.ts';
import type { WireSandbox } from '../raw-api.ts';
import type { Scenario } from './scenario.ts';

async function list(query: string, key?: string): Promise<{ ids: string[]; next: string | null }> {
  const response = await request('GET', `/api/sandboxes?${query}`, key === undefined ? {} : { key });
  expect(response.status).toBe(200);
  const sandboxes = (await response.json()) as WireSandbox[];
  return { ids: sandboxes.map(({ sandboxID }) => sandboxID), next: response.headers.get('x-next-cursor') };
}

/** What no client expresses, through HTTP alone. */
export const httpScenarios: Scenario[] = [
  {
    name: 'lists filter by metadata and status, and page, newest first',
    tenants: true,
    async run({ client }) {
      const batch = randomUUID();
      const made: string[] = [];
      for (let n = 0; n < 3; n += 1) {
        const sandbox = await client.create({ metadata: { batch, 'odd key': String(n % 2) }, timeout: 300 });
        made.unshift(sandbox.sandboxId);
      }
      try {
        const filter = `metadata[batch]=${batch}`;
        expect((await list(filter)).ids).toEqual(made);
        expect((await list(`${filter}&${encodeURIComponent('metadata[odd key]')}=0`)).ids).toEqual([
          made[0],
          made[2],
        ]);
        expect((await list(`metadata[batch]=${randomUUID()}`)).ids).toEqual([]);
        expect((await list(filter, secondKey)).ids).toEqual([]);

        const first = await list(`${filter}&limit=2`);
        expect(first.ids).toEqual(made.slice(0, 2));
        const second = await list(`${filter}&limit=2&cursor=${encodeURIComponent(first.next ?? '')}`);
        expect(second).toEqual({ ids: made.slice(2), next: null });

        const [newest = ''] = made;
        expect((await request('DELETE', `/api/sandboxes/${newest}`)).status).toBe(204);
        expect((await list(filter)).ids).toEqual(made.slice(1));
        expect((await list(`${filter}&status=running`)).ids).toEqual(made.slice(1));
        expect((await list(`${filter}&status=stopped`)).ids).toEqual([newest]);
        expect((await list(`${filter}&status=all`)).ids).toEqual(made);
        for (const query of ['limit=0', 'limit=x', 'status=odd', 'cursor=nonsense'])
          expect((await request('GET', `/api/sandboxes?${query}`)).status, query).toBe(400);
      } finally {
        await Promise.all(made.map((id) => request('DELETE', `/api/sandboxes/${id}`)));
      }
    },
  },
  {
    name: 'exec/run sends bytes while a command of more than 31 seconds runs',
    slow: true,
    async run({ sandbox }) {
      const path = `/api/sandboxes/${sandbox.sandboxId}/exec/run`;
      const json = { cmd: 'sh', args: ['-c', 'sleep 32; echo late'], timeout: 60 };
      const response = await request('POST', path, { json });
      expect(response.status).toBe(200);
      let text = '';
      for await (const chunk of response.body ?? []) text += new TextDecoder().decode(chunk);
      // One every ten seconds: clients give up after thirty without a byte.
      expect(text).toMatch(/^\s{3,}\{/);
      expect(JSON.parse(text)).toMatchObject({ exitCode: 0, stdout: 'late\n', stderr: '' });
    },
  },
  {
    name: 'exec/run-async answers a short command at once and a long one by its id',
    async run({ sandbox }) {
      const base = `/api/sandboxes/${sandbox.sandboxId}/exec`;
      const short = await request('POST', `${base}/run-async`, { json: { cmd: 'echo', args: ['hi'] } });
      expect(short.status).toBe(200);
      const result: unknown = await short.json();
      expect(result).toMatchObject({ exitCode: 0, stdout: 'hi\n', stderr: '' });
      expect(result).not.toHaveProperty('execId');

      const long = await request('POST', `${base}/run-async`, { json: { cmd: 'sleep', args: ['2'] } });
      expect(long.status).toBe(202);
      const { execId, running } = (await long.json()) as { execId: string; running: boolean };
      expect(running).toBe(true);
      const poll = async (): Promise<unknown> => (await request('GET', `${base}/${execId}/result`)).json();
      await expect.poll(poll, { timeout: 240_000 }).toMatchObject({ running: false, exitCode: 0 });
      expect((await request('GET', `${base}/00000000/result`)).status).toBe(404);
      expect((await request('POST', `${base}/run`, { json: { cmd: '/no/such/program' } })).status).toBe(422);
      expect((await request('POST', `${base}/run`, { json: {} })).status).toBe(400);
    },
  },
  {
    name: 'errors have one form and every answer an id',
    async run({ sandbox }) {
      const cases: [string, string, number, Parameters<typeof request>[2]?][] = [
        ['GET', '/api/sandboxes', 401, { key: undefined }],
        ['GET', '/api/sandboxes', 401, { key: 'osb_wrong' }],
        ['GET', '/api/sandboxes/sb-ffffffff', 404],
        ['GET', '/api/sandboxes/no-id-at-all', 404],
        ['GET', '/api/no-such-route', 404],
        ['POST', '/api/sandboxes', 400, { body: '{"cut' }],
        ['POST', '/api/sandboxes', 400, { json: { timeout: 'soon' } }],
        ['POST', `/api/sandboxes/${sandbox.sandboxId}/timeout`, 400, { json: {} }],
        ['GET', `/api/sandboxes/${sandbox.sandboxId}/files`, 400],
        ['GET', `/api/sandboxes/${sandbox.sandboxId}/files/download?path=/etc/passwd`, 400],
      ];
      for (const [method, path, status, options] of cases) {
        const response = await request(method, path, options);
        expect(response.status, `${method} ${path}`).toBe(status);
        expect(response.headers.get('x-request-id')).toBeTruthy();
        expect(await response.json()).toMatchObject({
          error: expect.stringMatching(/./),
          code: expect.stringMatching(/^[a-z_]+$/),
          hint: expect.stringMatching(/./),
        });
      }
    },
  },
  {
    name: 'every operation restarts the idle clock',
    async run({ sandbox }) {
      const before = await getSandbox(sandbox.sandboxId);
      await expect
        .poll(
          async () => {
            await sandbox.exec.run('true');
            return Date.parse((await getSandbox(sandbox.sandboxId)).endAt);
          },
          { timeout: 240_000, interval: 500 },
        )
        .toBeGreaterThan(Date.parse(before.endAt));
    },
  },
  {
    name: 'health is open, the document of the API names every route that was used',
    async run() {
      expect(await (await fetch(`${apiUrl}/health`)).json()).toEqual({ status: 'ok' });
      expect(await (await fetch(`${apiUrl}/healthz`)).json()).toEqual({ status: 'alive' });
      expect((await fetch(`${apiUrl}/readyz`)).status).toBe(200);
      const document = (await (await fetch(`${apiUrl}/openapi.json`)).json()) as { paths: object };
      expect(Object.keys(document.paths)).toEqual(
        expect.arrayContaining(['/api/sandboxes', '/api/sandboxes/{id}', '/api/sandboxes/{id}/files']),
      );
    },
  },
];
