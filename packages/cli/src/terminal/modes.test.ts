import { expect, test } from 'vitest';
import { TerminalModes } from './modes.ts';

function undoAfter(...pieces: string[]): string {
  const modes = new TerminalModes();
  for (const piece of pieces) modes.follow(Buffer.from(piece, 'latin1'));
  return modes.undo;
}

test('what a program leaves turned on is turned off', () => {
  expect(undoAfter('\u001b[?1049h\u001b[?25l\u001b[?1002;1006hx')).toBe(
    '\u001b[?1049l\u001b[?25h\u001b[?1002l\u001b[?1006l\u001b[0m',
  );
});

test('a program that cleans up leaves nothing to do', () => {
  expect(undoAfter('\u001b[?1049h', 'text', '\u001b[?1049l')).toBe('');
});

test('sequences may be cut anywhere', () => {
  const text = 'abc\u001b[?1049hdef';
  for (let cut = 0; cut <= text.length; cut += 1)
    expect(undoAfter(text.slice(0, cut), text.slice(cut))).toBe('\u001b[?1049l\u001b[0m');
});

test('other modes, and endless sequences, are not followed', () => {
  expect(undoAfter('\u001b[?7h\u001b[?9999h', `\u001b[?${'1;'.repeat(10_000)}`, '1049h')).toBe('');
});
