import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestSandbox } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { counterOf, startCounter } from '../support/counter.ts';
import { TestPlatform } from '../support/platform.ts';
import { Random } from '../support/random.ts';
import { setTimeout as delay } from 'node:timers/promises';

type Part = 'server' | 'worker';

const rounds = 6;
const warmNetworks = 2;
const choices: [Part[], ...Part[][]] = [['server'], ['worker'], ['server', 'worker'], ['worker', 'server']];
const fileBytes = 2 * 1024 * 1024;
const seed = Number(process.env['OPENCOMPUTER_TEST_SEED'] ?? Date.now() % 1_000_000_000);

/** How a request ended: acknowledged, refused with a clear error, or cut off, when nobody knows. */
type Fate = 'acknowledged' | 'refused' | 'unknown';

const clearCodes = [
  'worker_unavailable',
  'creation_failed',
  'start_failed',
  'busy',
  'guest_failed',
  'guest_timeout',
  'worker_timeout',
  'shutting_down',
];

async function fateOf(
  request: () => Promise<{ status: number; body: Record<string, unknown>; text: string }>,
): Promise<{ fate: Fate; body: Record<string, unknown> }> {
  try {
    const { status, body, text } = await request();
    if (status < 300 && body['error'] === undefined) return { fate: 'acknowledged', body };
    if (!clearCodes.includes(String(body['code']))) throw new Error(`not a clear error: ${status} ${text}`);
    return { fate: 'refused', body };
  } catch (error) {
    // What fetch throws when the connection is refused or breaks.
    if (error instanceof TypeError) return { fate: 'unknown', body: {} };
    throw error;
  }
}

/** A file that is written over and over, and what it may hold. */
class WrittenFile {
  readonly path: string;
  /** `none`: that there is no such file. */
  #possible: string[] = ['none'];

  constructor(path: string) {
    this.path = path;
  }

  async write(sandbox: TestSandbox, letter: string): Promise<void> {
    const { fate } = await fateOf(() =>
      sandbox.call('PUT', `/files?path=${this.path}`, { body: letter.repeat(fileBytes) }),
    );
    this.#possible = fate === 'acknowledged' ? [letter] : [...this.#possible, letter];
  }

  async check(sandbox: TestSandbox): Promise<void> {
    const answer = await sandbox.call('GET', `/files?path=${this.path}`);
    if (answer.status === 404) return expect(this.#possible, `${this.path} is not there`).toContain('none');
    expect(answer.status).toBe(200);
    const letter = answer.text.charAt(0);
    expect(this.#possible, this.path).toContain(letter);
    expect(answer.text === letter.repeat(fileBytes), `${this.path} is whole`).toBe(true);
    // What it holds now it keeps.
    this.#possible = [letter];
  }
}

describe(`kill -9 of server and worker at random moments (seed ${seed})`, () => {
  const random = new Random(seed);
  let platform: TestPlatform;
  let anchors: TestSandbox[] = [];
  const mine = new Set<string>();
  const counters = new Map<string, number>();
  const files = [new WrittenFile('/home/sandbox/one'), new WrittenFile('/home/sandbox/two')];
  const acknowledgedLines = new Set<string>();
  const sentLines = new Set<string>();

  beforeAll(async () => {
    platform = await TestPlatform.start({ env: { OPENCOMPUTER_WARM_NETWORKS: String(warmNetworks) } });
    anchors = await Promise.all([1, 2].map((n) => platform.api.create({ envs: { ANCHOR: String(n) } })));
    for (const anchor of anchors) {
      mine.add(anchor.id);
      await anchor.write('/home/sandbox/marker', `marker of ${anchor.id}`);
      await startCounter(anchor);
      counters.set(anchor.id, await counterOf(anchor));
    }
  });
  afterAll(() => platform?.destroy());

  /** One round of requests, all at once. */
  function load(round: number): Promise<unknown>[] {
    const { api } = platform;
    const [anchor] = anchors;
    if (anchor === undefined) throw new Error('no anchor');
    const creates = [0, 1].map(async () => {
      const { fate, body } = await fateOf(() =>
        api.call('POST', '/api/sandboxes', { json: { timeout: 0, envs: { ROUND: String(round) } } }),
      );
      if (fate === 'acknowledged') mine.add(String(body['sandboxID']));
    });
    const commands = [0, 1, 2, 3].map(async (n) => {
      const line = `${round}-${n}`;
      sentLines.add(line);
      const script = `sleep 0.${random.below(10)}; echo ${line} >> ~/log; echo ${line}`;
      const { fate } = await fateOf(() => anchor.exec('sh', ['-c', script]));
      if (fate === 'acknowledged') acknowledgedLines.add(line);
    });
    const writes = files.map((file) => file.write(anchor, String.fromCodePoint(97 + (round % 26))));
    const doomed = [...mine].find((id) => anchors.every((anchor) => anchor.id !== id));
    if (doomed === undefined) return [...creates, ...commands, ...writes];
    mine.delete(doomed);
    return [...creates, ...commands, ...writes, fateOf(() => api.call('DELETE', `/api/sandboxes/${doomed}`))];
  }

  async function check(): Promise<void> {
    const { api } = platform;
    for (const id of mine) {
      expect(await api.sandbox(id).info(), `${id} was acknowledged`).toMatchObject({ status: 'running' });
      expect(await api.sandbox(id).output('echo $ROUND$ANCHOR')).toMatch(/^\d+$/);
    }
    for (const anchor of anchors) {
      expect((await anchor.read('/home/sandbox/marker')).toString()).toBe(`marker of ${anchor.id}`);
      const before = counters.get(anchor.id) ?? 0;
      const now = await eventually('the process inside counts on', async () => {
        const value = await counterOf(anchor);
        return value > before ? value : undefined;
      });
      counters.set(anchor.id, now);
    }
    const [anchor] = anchors;
    if (anchor === undefined) return;
    for (const file of files) await file.check(anchor);
    const lines = (await anchor.output('cat ~/log 2>/dev/null || true')).split('\n').filter(Boolean);
    expect(new Set(lines).size, `each command ran once at most: ${lines.join(' ')}`).toBe(lines.length);
    for (const line of acknowledgedLines) expect(lines).toContain(line);
    for (const line of lines) expect(sentLines).toContain(line);
  }

  /** Waits until host and API agree: nothing half-made, nothing orphaned. */
  async function settled(): Promise<void> {
    await eventually(
      'host and API agree',
      async () => {
        const running = (await platform.api.list('&status=running'))
          .map(({ sandboxID }) => sandboxID)
          .toSorted();
        const { processes, directories, trash, namespaces } = platform.traces();
        const seen = { running, processes, directories, trash, namespaces: namespaces.length };
        const due = {
          running,
          processes: running,
          directories: running,
          trash: [],
          namespaces: running.length + warmNetworks,
        };
        if (JSON.stringify(seen) !== JSON.stringify(due)) throw new Error(JSON.stringify(seen));
        return true;
      },
      { withinMs: 240_000, everyMs: 250 },
    );
    const all = await platform.api.list('&status=all');
    for (const { sandboxID, status, statusReason } of all)
      if (status === 'error') expect(mine.has(sandboxID), `${sandboxID}: ${statusReason}`).toBe(false);
    // A create whose client was cut off may have been finished: somebody must be able to find and delete it.
    for (const { sandboxID, status } of all)
      if (status === 'running' && !mine.has(sandboxID)) await platform.api.sandbox(sandboxID).delete();
  }

  test.each(Array.from({ length: rounds }, (_, index) => index + 1))('round %i', async (round) => {
    const victims = random.pick(choices);
    const requests = load(round);
    // Real time: anywhere in what is under way.
    await delay(random.below(1500));
    for (const victim of victims) await platform.crash(victim);
    await platform.ready();
    await Promise.all(requests);
    await check();
    await settled();
  });

  test('what is deleted in the end is gone from the host', async () => {
    for (const { sandboxID } of await platform.api.list()) await platform.api.sandbox(sandboxID).delete();
    mine.clear();
    await settled();
    await platform.stop();
    expect(platform.traces()).toEqual({ processes: [], directories: [], trash: [], namespaces: [] });
  });
});
