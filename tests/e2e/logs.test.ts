import { describe, expect, test } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import { fileSandbox } from '../support/shared.ts';

interface LogEvent {
  _time: string;
  source: string;
  line: string;
  path?: string;
  exec_id?: string;
  exit_code?: number;
}

describe('the logs of a sandbox', () => {
  const sandbox = fileSandbox({ memoryMB: 512 });

  const address = (query: string): string => `${sandbox().api.url}${sandbox().path}/logs?${query}`;
  const headers = (): Record<string, string> => ({ 'x-api-key': sandbox().api.key });
  const eventsOf = (text: string): LogEvent[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .map((line) => JSON.parse(line.slice('data: '.length)) as LogEvent);

  async function read(query: string): Promise<LogEvent[]> {
    const answer = await fetch(address(`tail=false&${query}`), { headers: headers() });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('text/event-stream'),
    ]);
    return eventsOf(await answer.text());
  }

  test('hold what commands printed, and how they ended', async () => {
    await sandbox().output('echo to-stdout; echo to-stderr >&2');
    const [out] = await read('source=exec_stdout&q=to-stdout');
    expect(out).toMatchObject({ source: 'exec_stdout', line: 'to-stdout' });
    expect(Date.parse(out?._time ?? '')).not.toBeNaN();
    expect(await read('source=exec_stderr&q=to-stderr')).toHaveLength(1);
    expect(await read(`source=agent&q=ended`)).toContainEqual(
      expect.objectContaining({ exec_id: out?.exec_id, exit_code: 0 }),
    );
  });

  test('hold files of /var/log and the journal', async () => {
    await sandbox().output('echo "a line of an application" | sudo tee /var/log/app.log');
    expect(await read('source=var_log&q=of+an+application')).toMatchObject([{ path: '/var/log/app.log' }]);
    await sandbox().output('sudo systemd-cat -t my-service echo into the journal');
    // The journal takes messages in its own time.
    const found = await eventually('in the journal', async () => {
      const events = await read('source=var_log&q=my-service:+into');
      return events.length > 0 && events;
    });
    expect(found).toMatchObject([{ path: 'journal', line: 'my-service: into the journal' }]);
  });

  test('are followed', async () => {
    const stop = new AbortController();
    const answer = await fetch(address('source=exec_stdout'), { headers: headers(), signal: stop.signal });
    const running = sandbox().output('echo followed line');
    let text = '';
    for await (const part of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
      text += Buffer.from(part).toString();
      if (text.includes('followed line')) break;
    }
    await running;
    expect(eventsOf(text).map(({ line }) => line)).toContain('followed line');
    stop.abort();
  });
});
