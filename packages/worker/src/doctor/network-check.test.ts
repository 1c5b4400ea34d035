import { expect, test } from 'vitest';
import { networkCheck } from './network-check.ts';

const whole = { mode: 'namespace', summary: 'All is held.', reasons: [], missing: [], fixes: [] };

test('a network that holds its policy is well', () => {
  expect(networkCheck(whole)).toEqual({
    id: 'network',
    title: 'Network',
    status: 'ok',
    found: 'namespace: All is held.',
  });
});

test('what is lost, why, and how to fix it are a warning', () => {
  const lesser = {
    mode: 'user',
    summary: 'Slow.',
    reasons: ['Not root.'],
    missing: ['a firewall', 'counters'],
    fixes: ['Be root.'],
  };
  expect(networkCheck(lesser)).toMatchObject({
    status: 'warn',
    why: 'Not root. Not held: a firewall; counters.',
    fix: 'Be root.',
  });
});
