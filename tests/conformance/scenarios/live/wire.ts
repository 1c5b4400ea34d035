import { expect } from 'vitest';
import { getSandbox, request } from '../../raw-api.ts';
import { onItsOwn } from '../state/own.ts';
import { patience } from './recorder.ts';
import { RawSocket } from './raw-socket.ts';
import type { SandboxHandle } from '../../clients/client.ts';
import type { Scenario } from '../scenario.ts';

async function start(sandbox: SandboxHandle, script: string, more: object = {}): Promise<string> {
  const path = `/api/sandboxes/${sandbox.sandboxId}/exec`;
  const response = await request('POST', path, { json: { cmd: 'sh', args: ['-c', script], ...more } });
  expect(response.status).toBe(201);
  const session = (await response.json()) as { sessionID: string };
  expect(session).toMatchObject({
    sessionID: expect.stringMatching(/^[0-9a-f]{8}$/),
    sandboxID: sandbox.sandboxId,
    command: 'sh',
    args: ['-c', script],
    running: true,
    startedAt: expect.stringMatching(/Z$/),
    attachedClients: 0,
  });
  return `${path}/${session.sessionID}`;
}

const text = (messages: Buffer[], type: number): string =>
  Buffer.concat(
    messages.filter(([first]) => first === type).map((message) => message.subarray(1)),
  ).toString();

/** The sockets, frame by frame. */
export const wireScenarios: Scenario[] = [
  {
    name: 'frames: output, one end of the scrollback, the exit, close 1000',
    async run({ sandbox }) {
      const path = await start(sandbox, 'printf ab; read -r x; printf "$x" >&2; exit 7');
      const live = await RawSocket.open(path);
      await expect.poll(() => text(live.messages, 1), patience).toBe('ab');
      live.socket.send(Buffer.of(0));
      live.socket.send(Buffer.alloc(0));
      live.socket.send(Buffer.of(0x63, 1, 2));
      live.socket.send(Buffer.from('\0err\n'));
      const end = await live.end();
      expect(end).toMatchObject({ code: 1000 });
      expect(end.messages.filter(([type]) => type === 4)).toEqual([Buffer.of(4)]);
      expect(text(end.messages, 2)).toBe('err');
      expect(end.messages.at(-1)).toEqual(Buffer.from([3, 0, 0, 0, 7]));

      const replay = await (await RawSocket.open(path)).end();
      expect(replay.types).toEqual([1, 2, 4, 3]);
      expect(replay.messages.at(-1)).toEqual(Buffer.from([3, 0, 0, 0, 7]));
    },
  },
  {
    name: 'frames carry at most 4096 bytes to clients of the plain protocol',
    async run({ sandbox }) {
      const path = await start(sandbox, 'head -c 300000 /dev/zero');
      const { messages } = await (await RawSocket.open(path)).end();
      expect(text(messages, 1)).toHaveLength(300_000);
      expect(Math.max(...messages.map(({ length }) => length))).toBeLessThanOrEqual(4097);
    },
  },
  {
    name: 'frame 4 ends the input; with from, offsets and accepted input are told',
    async run({ sandbox }) {
      const path = await start(sandbox, 'printf abc; cat');
      // An offset is one of output that was there: of more, attaching is refused.
      const first = await RawSocket.open(path);
      await expect.poll(() => text(first.messages, 1), patience).toBe('abc');
      first.socket.close();
      await first.end();
      const socket = await RawSocket.open(`${path}?from=1&client=writer_1`);
      socket.socket.send(Buffer.from('\0input'));
      await expect
        .poll(() => socket.messages.findLast(([type]) => type === 6)?.readBigUInt64BE(1), patience)
        .toBe(5n);
      socket.socket.send(Buffer.of(4));
      const { messages, code, reason } = await socket.end();
      expect([code, reason]).toEqual([1000, 'exec completed']);
      expect(messages[0]).toEqual(Buffer.from([6, 0, 0, 0, 0, 0, 0, 0, 0]));
      expect(messages[1]).toEqual(Buffer.from([7, 0, 0, 0, 0, 0, 0, 0, 1]));
      expect(text(messages, 1)).toBe('bcinput');
    },
  },
  {
    name: 'a text message is refused, and the session goes on',
    async run({ sandbox }) {
      const path = await start(sandbox, 'read -r x; exit 3');
      const socket = await RawSocket.open(path);
      socket.socket.send('text');
      expect((await socket.end()).code).toBe(1008);
      const huge = await RawSocket.open(path);
      huge.socket.send(Buffer.alloc(2 * 1024 * 1024));
      expect((await huge.end()).code).toBe(1009);
      const again = await RawSocket.open(path);
      again.socket.send(Buffer.from('\0\n'));
      expect((await again.end()).messages.at(-1)).toEqual(Buffer.from([3, 0, 0, 0, 3]));
    },
  },
  {
    name: 'what cannot be attached to is refused before the upgrade',
    async run({ sandbox }) {
      const path = `/api/sandboxes/${sandbox.sandboxId}/exec/00000000`;
      expect(await RawSocket.refusal(path)).toMatchObject({ status: 404, body: { code: 'exec_not_found' } });
      expect(await RawSocket.refusal(path, {})).toMatchObject({
        status: 401,
        body: { code: 'unauthorized' },
      });
      expect(await RawSocket.refusal(path, { 'X-API-Key': `osb_${'0'.repeat(64)}` })).toMatchObject({
        status: 401,
      });
      expect(await RawSocket.refusal('/api/sandboxes/sb-00000000/exec/00000000')).toMatchObject({
        status: 404,
        body: { code: 'sandbox_not_found' },
      });
      const pty = `/api/sandboxes/${sandbox.sandboxId}/pty/00000000`;
      expect(await RawSocket.refusal(pty)).toMatchObject({ status: 404 });
      const real = await start(sandbox, 'exit 0');
      expect(await RawSocket.refusal(`${real}?from=minus`)).toMatchObject({ status: 400 });
    },
  },
  {
    name: 'terminals speak raw bytes, with and without /api',
    async run({ sandbox }) {
      const base = `/sandboxes/${sandbox.sandboxId}/pty`;
      const response = await request('POST', `/api${base}`, { json: { cols: 90, rows: 20 } });
      expect(response.status).toBe(201);
      const { sessionID } = (await response.json()) as { sessionID: string };
      const screen = (socket: RawSocket): string => Buffer.concat(socket.messages).toString('latin1');
      const first = await RawSocket.open(`/api${base}/${sessionID}`);
      first.socket.send('echo text$((1 + 1))\r');
      await expect.poll(() => screen(first), patience).toContain('text2\r\n');
      const second = await RawSocket.open(`${base}/${sessionID}`);
      second.socket.send(Buffer.from('echo bytes$((1 + 1))\r'));
      await expect.poll(() => screen(second), patience).toContain('bytes2\r\n');
      expect(screen(second)).not.toContain('text2\r\n');
      const third = await RawSocket.open(`/api${base}/${sessionID}?replay=1`);
      await expect.poll(() => screen(third), patience).toContain('text2\r\n');
      third.socket.send('exit\r');
      for (const socket of [first, second, third]) expect((await socket.end()).code).toBe(1000);
    },
  },
  {
    name: 'kills answer JSON; unknown ids are 404',
    async run({ sandbox }) {
      const path = await start(sandbox, 'sleep 300');
      const killed = await request('POST', `${path}/kill`, { json: { signal: 9 } });
      expect([killed.status, await killed.json()]).toEqual([200, {}]);
      const base = `/api/sandboxes/${sandbox.sandboxId}`;
      for (const [method, route] of [
        ['POST', 'exec/00000000/kill'],
        ['POST', 'pty/00000000/resize'],
        ['DELETE', 'pty/00000000'],
        ['POST', 'agent/00000000/kill'],
      ] as const) {
        const json = route.endsWith('resize') ? { cols: 80, rows: 24 } : {};
        expect((await request(method, `${base}/${route}`, { json })).status, route).toBe(404);
      }
      expect((await request('POST', `${path}/kill`, { json: { signal: 99 } })).status).toBe(400);
    },
  },
];

/** The token of one sandbox. */
export const tokenScenarios: Scenario[] = [
  {
    name: 'a token opens the data plane of its sandbox, in every place where clients put it',
    async run({ sandbox }) {
      const { token, connectURL } = (await getSandbox(sandbox.sandboxId)) as unknown as Record<
        string,
        string
      >;
      expect(connectURL).toMatch(/^https?:\/\/.*\/api$/);
      if (token === undefined) throw new Error('the sandbox comes without a token');
      const bearer = { Authorization: `Bearer ${token}` };
      const path = `/api/sandboxes/${sandbox.sandboxId}`;
      const session = await start(sandbox, 'exit 0');
      const query = (name: string): string => `${session}?${name}=${encodeURIComponent(token)}`;
      const sockets: [string, Record<string, string>][] = [
        [query('token'), {}],
        [query('api_key'), {}],
        [session, { 'X-API-Key': token }],
        [session, bearer],
        [session.replace('/api/', '/'), bearer],
      ];
      for (const [url, headers] of sockets)
        expect((await (await RawSocket.open(url, headers)).end()).code, url).toBe(1000);

      const ran = await request('POST', `${path}/exec/run`, { key: token, json: { cmd: 'true' } });
      expect(ran.status).toBe(200);
      const refreshed = await request('POST', `${path}/token/refresh`, { key: token });
      expect(refreshed.status).toBe(200);
      const { token: next } = (await refreshed.json()) as { token: string };
      expect((await request('GET', `${path}/exec`, { key: next })).status).toBe(200);

      expect([401, 403]).toContain((await request('GET', '/api/sandboxes', { key: token })).status);
      expect([401, 403]).toContain((await request('DELETE', path, { key: token })).status);
      expect([401, 403]).toContain((await request('GET', `${path}/exec`, { key: `${token}x` })).status);
    },
  },
  {
    name: 'create, get, wake and fork tell a token and where to connect with it',
    run: onItsOwn(async ({ client, sandbox, keep }) => {
      const checkpoint = await sandbox.createCheckpoint('for-token');
      const ask = async (method: string, path: string, json?: object): Promise<string> => {
        const response = await request(method, `/api/sandboxes${path}`, json === undefined ? {} : { json });
        const told = (await response.json()) as Record<string, string>;
        expect(told, path).toMatchObject({ connectURL: expect.stringMatching(/^https?:\/\/[^/]+\/api$/) });
        const { token = '', sandboxID = '' } = told;
        const listed = await request('GET', `/api/sandboxes/${sandboxID}/exec`, { key: token });
        expect(listed.status, path).toBe(200);
        return sandboxID;
      };
      await keep(client.connect(await ask('POST', '', { timeout: 300 })));
      await keep(client.connect(await ask('POST', `/from-checkpoint/${checkpoint.id}`, { timeout: 300 })));
      await ask('GET', `/${sandbox.sandboxId}`);
      await sandbox.hibernate();
      await ask('POST', `/${sandbox.sandboxId}/wake`, {});
    }),
  },
  {
    name: 'a token of another sandbox is refused, and one of a killed sandbox is useless',
    run: onItsOwn(async ({ client, sandbox }) => {
      const other = await client.create({ timeout: 300 });
      const { token } = (await getSandbox(other.sandboxId)) as unknown as { token: string };
      const path = (id: string): string => `/api/sandboxes/${id}/exec`;
      expect((await request('GET', path(other.sandboxId), { key: token })).status).toBe(200);
      expect((await request('GET', path(sandbox.sandboxId), { key: token })).status).toBe(403);
      const session = await start(sandbox, 'exit 0');
      expect(await RawSocket.refusal(session, { 'X-API-Key': token })).toMatchObject({ status: 403 });
      await other.kill();
      expect([401, 403, 410]).toContain((await request('GET', path(other.sandboxId), { key: token })).status);
    }),
  },
];
