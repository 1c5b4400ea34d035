import { describe, expect, test } from 'vitest';
import { isErrorCode } from './errors.ts';
import {
  publicState,
  publicStates,
  sandboxActions,
  sandboxCondition,
  sandboxConditions,
  sandboxStates,
  transitions,
} from './states.ts';

describe('state table', () => {
  const cells = sandboxConditions.flatMap((state) => sandboxActions.map((action) => ({ state, action })));

  test.each(cells)('$state x $action has an answer', ({ state, action }) => {
    const cell = transitions[state][action];
    if ('next' in cell) expect(sandboxStates).toContain(cell.next);
    else if ('refuse' in cell) expect(isErrorCode(cell.refuse)).toBe(true);
    else if ('wakeFirst' in cell) expect(state).toBe('hibernated');
    else expect(cell.already).toBe(true);
  });

  test('nothing leads out of stopped', () => {
    for (const action of sandboxActions) expect('next' in transitions.stopped[action]).toBe(false);
  });

  test('every state can be left by stop or has been', () => {
    for (const state of sandboxConditions) expect('refuse' in transitions[state].stop).toBe(false);
  });

  test('what hibernates can always be woken, and what has failed be started from its disk', () => {
    expect(transitions.hibernated.wake).toEqual({ next: 'running' });
    for (const action of ['wake', 'reboot', 'powerCycle', 'restore'] as const)
      expect(transitions.error[action]).toEqual({ next: 'running' });
  });

  test('what never ran has nothing to start from, and can only be removed', () => {
    expect(sandboxCondition('error', false)).toBe('neverRan');
    expect(sandboxCondition('error', true)).toBe('error');
    expect(sandboxCondition('creating', false)).toBe('creating');
    const possible = sandboxActions.filter((action) => 'next' in transitions.neverRan[action]);
    expect(possible).toEqual(['stop']);
  });

  test('hibernating and waking twice are successes', () => {
    expect(transitions.hibernated.hibernate).toEqual({ already: true });
    expect(transitions.running.wake).toEqual({ already: true });
  });

  test('what has ended is refused as ended', () => {
    for (const state of ['stopping', 'stopped', 'neverRan'] as const)
      for (const action of ['use', 'hibernate', 'wake', 'reboot', 'checkpoint', 'restore'] as const)
        expect(transitions[state][action]).toMatchObject({ refuse: 'sandbox_stopped' });
  });

  test.each(sandboxStates)('%s has a public name', (state) => {
    expect(publicStates).toContain(publicState(state));
  });
});
