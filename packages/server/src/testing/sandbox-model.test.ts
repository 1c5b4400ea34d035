import { expect, test } from 'vitest';
import { explain, type Model, type Outcome } from './sandbox-model.ts';

const running: Model[] = [{ state: 'running', count: 0 }];
const done = (request: Outcome['request'], count?: number): Outcome => ({
  request,
  refusal: undefined,
  ...(count === undefined ? {} : { count }),
});

const cutOff: Outcome = { request: 'exec', refusal: 'guest_failed' };

test('any order of a hibernation and a command ends in one of two states', () => {
  expect(explain(running, [done('hibernate'), done('exec', 1)])).toEqual([
    { state: 'running', count: 1 },
    { state: 'hibernated', count: 1 },
  ]);
});

test.each<[string, Outcome[]]>([
  ['a count that was lost', [done('exec', 1), done('exec', 1)]],
  ['a count that came twice', [done('exec', 1), done('exec', 3)]],
  ['a refusal that no state gives', [{ request: 'exec', refusal: 'internal' }]],
  ['a refusal without a stop', [{ request: 'wake', refusal: 'sandbox_stopped' }]],
  ['a memory that survived a restart', [done('reboot'), done('exec', 2)]],
  ['a command that was lost without a restart', [cutOff, done('hibernate'), done('exec', 1)]],
  ['a command that was lost with a restart whose memory survived', [cutOff, done('reboot'), done('exec', 3)]],
])('no order explains %s', (_name, outcomes) => {
  expect(explain(running, outcomes)).toEqual([]);
});

test('whoever comes after the stop is refused', () => {
  const refused: Outcome = { request: 'exec', refusal: 'sandbox_stopped' };
  expect(explain(running, [refused, done('stop'), done('exec', 1)])).toEqual([
    { state: 'stopped', count: 1 },
  ]);
});

test('a command may be lost with the restart that came over it', () => {
  expect(explain([{ state: 'running', count: 6 }], [done('powerCycle'), done('hibernate'), cutOff])).toEqual([
    { state: 'running', count: 0 },
    { state: 'hibernated', count: 0 },
  ]);
});
