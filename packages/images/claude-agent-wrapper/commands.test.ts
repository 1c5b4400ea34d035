import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { CommandError, parseCommand } from './commands.ts';

describe('commands', () => {
  it('are read with the fields that are given', () => {
    expect(parseCommand('{"type":"interrupt","more":1}')).toEqual({ type: 'interrupt' });
    expect(parseCommand('{"type":"prompt","text":" hi ","resume":""}')).toEqual({
      type: 'prompt',
      text: ' hi ',
    });
    expect(parseCommand('{"type":"prompt","text":"hi","resume":"s"}')).toEqual({
      type: 'prompt',
      text: 'hi',
      resume: 's',
    });
    const configuration = {
      model: 'm',
      allowedTools: ['Bash'],
      maxTurns: 3,
      mcpServers: { a: { command: 'b' } },
    };
    const line = JSON.stringify({ type: 'configure', ...configuration, cwd: '', resume: null, other: 1 });
    expect(parseCommand(line)).toEqual({ type: 'configure', configuration });
  });

  it.each([
    ['not json', /^invalid JSON input$/],
    ['"text"', /^invalid JSON input: a command is an object/],
    ['[]', /^invalid JSON input: a command is an object/],
    ['null', /^invalid JSON input: a command is an object/],
    ['{}', /^unknown command type: undefined$/],
    ['{"type":"dance"}', /^unknown command type: dance$/],
    ['{"type":"prompt"}', /^prompt text is required$/],
    ['{"type":"prompt","text":" \\n"}', /^prompt text is required$/],
    ['{"type":"prompt","text":7}', /^prompt text is required$/],
    ['{"type":"configure","maxTurns":0}', /maxTurns must be a positive whole number$/],
    ['{"type":"configure","allowedTools":"Bash"}', /allowedTools must be a list of texts$/],
    ['{"type":"configure","mcpServers":[]}', /mcpServers must be an object/],
    ['{"type":"configure","model":{}}', /model must be a non-empty text$/],
  ])('that are wrong say so: %s', (line, message) => {
    expect(() => parseCommand(line)).toThrow(CommandError);
    expect(() => parseCommand(line)).toThrow(message);
  });

  it('repeat little of what was sent', () => {
    const line = JSON.stringify({ type: 'x'.repeat(1_000_000) });
    expect(() => parseCommand(line)).toThrow(/^unknown command type: x{100}$/);
  });

  it('fail with nothing but their own error on any JSON', () => {
    fc.assert(
      fc.property(fc.json(), (line) => {
        try {
          parseCommand(line);
        } catch (error) {
          expect(error).toBeInstanceOf(CommandError);
        }
      }),
    );
  });
});
