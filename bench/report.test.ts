import { expect, it } from 'vitest';
import { atMostTimes, compare } from './finding.ts';
import { allKept, describe } from './report.ts';

const kept = compare({ group: 'g', name: 'fast', unit: 'ms' }, [100, 110], [100, 100], atMostTimes(1.3));
const broken = compare({ group: 'g', name: 'slow', unit: 'ms' }, [150], [100], atMostTimes(1.3));
const bare = compare({ group: 'g', name: 'alone', unit: 'MB' }, [5], []);

it('shows a broken promise as broken', () => {
  expect(describe(kept)[0]).toMatch(/^fast \(ms\) +105 \/ 110 +100 \/ 100  kept +at most 1\.3 times/);
  expect(describe(broken)[0]).toContain('BROKEN  at most 1.3 times the floor: 1.50 times');
  expect(describe(bare)[0]).toMatch(/^alone \(MB\) +5\.0$/);
});

it('does not pass when a promise is broken or a measure failed', () => {
  expect(allKept({ findings: [kept, bare], failed: {} })).toBe(true);
  expect(allKept({ findings: [kept, broken], failed: {} })).toBe(false);
  expect(allKept({ findings: [kept], failed: { files: 'no space' } })).toBe(false);
});
