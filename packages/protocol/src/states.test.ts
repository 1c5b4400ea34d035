import { describe, expect, test } from 'vitest';
import { isErrorCode } from './errors.ts';
import { publicState, publicStates, sandboxActions, sandboxStates, transitions } from './states.ts';

describe('state table', () => {
  const cells = sandboxStates.flatMap((state) => sandboxActions.map((action) => ({ state, action })));

  test.each(cells)('$state x $action has an answer', ({ state, action }) => {
    const cell = transitions[state][action];
    if ('next' in cell) expect(sandboxStates).toContain(cell.next);
    else if ('refuse' in cell) expect(isErrorCode(cell.refuse)).toBe(true);
    else expect(cell.already).toBe(true);
  });

  test('nothing leads out of stopped', () => {
    for (const action of sandboxActions) expect('next' in transitions.stopped[action]).toBe(false);
  });

  test('every state can be left by stop or has been', () => {
    for (const state of sandboxStates) expect('refuse' in transitions[state].stop).toBe(false);
  });

  test.each(sandboxStates)('%s has a public name', (state) => {
    expect(publicStates).toContain(publicState(state));
  });
});
