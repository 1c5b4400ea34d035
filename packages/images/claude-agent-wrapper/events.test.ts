import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { diagnosticWriter } from './diagnostics.ts';
import { eventLine, eventWriter } from './events.ts';

describe('events', () => {
  it('are one line each, whatever is in them', () => {
    const event = { type: 'assistant', message: { content: [{ text: 'a\nb\u2028c' }] } };
    const line = eventLine(event, 1000);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(JSON.parse(line)).toEqual(event);
  });

  it('lose their content where they are too long, and say how much it was', () => {
    const event = { type: 'user', session_id: 's', uuid: 'u', message: { content: 'é'.repeat(1000) } };
    const line = eventLine(event, 1000);
    expect(JSON.parse(line)).toEqual({
      type: 'user',
      session_id: 's',
      uuid: 'u',
      omitted_bytes: Buffer.byteLength(JSON.stringify(event)) + 1,
    });
  });

  it('wait for a reader that is slower', async () => {
    const output = new PassThrough({ highWaterMark: 16 });
    const emit = eventWriter(output, 1000);
    const sent: number[] = [];
    const all = (async () => {
      for (let event = 0; event < 20; event++) {
        await emit({ type: 'error', message: String(event) });
        sent.push(event);
      }
      output.end();
    })();
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toEqual([]);
    const lines = (await text(output)).trimEnd().split('\n');
    await all;
    expect(lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual(sent.map(String));
    expect(sent).toHaveLength(20);
  });
});

describe('diagnostics', () => {
  it('have the prefix on every line, and a bound', () => {
    const output = new PassThrough();
    diagnosticWriter(output)(`one\n\ntwo  \n${'x'.repeat(100_000)}`);
    const lines = String(output.read()).trimEnd().split('\n');
    expect(lines.map((line) => line.slice(0, 26))).toEqual([
      '[claude-agent-wrapper] one',
      '[claude-agent-wrapper] two',
      '[claude-agent-wrapper] xxx',
    ]);
    expect(lines[2]?.length).toBeLessThan(9000);
  });

  it('are lost rather than kept where nobody reads', () => {
    const output = new PassThrough();
    const diagnose = diagnosticWriter(output);
    for (let count = 0; count < 1000; count++) diagnose('x'.repeat(8000));
    expect(output.writableLength + output.readableLength).toBeLessThan(2 * 1024 * 1024);
  });
});
