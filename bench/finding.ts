import { type Summary, summarize } from './statistics.ts';

export type Unit = 'ms' | 'MB/s' | 'MB' | 'failures';

/** Something that is promised of a measure, and whether it holds. */
export interface Verdict {
  /** For people: `at most 1.3 times the floor`. */
  promise: string;
  /** What it came to, in the promise's own terms: `1.21 times`. */
  outcome: string;
  kept: boolean;
}

/** One measure, beside its floor. */
export interface Finding {
  group: string;
  name: string;
  unit: Unit;
  ours: Summary;
  floor?: Summary;
  verdict?: Verdict;
  /** Medians of the parts that the whole is made of, in the same unit. */
  parts?: { ours: Record<string, number>; floor?: Record<string, number> };
  /** What else was seen, by name. */
  notes?: Record<string, string | number>;
}

/** What is promised, as a test of median against median. */
export type Promised = (ours: number, floor: number) => Verdict;

const round = (value: number): string => value.toFixed(Math.abs(value) < 10 ? 2 : 1);

/** Time: ours may take this many times as long as the floor. */
export function atMostTimes(factor: number): Promised {
  return (ours, floor) => ({
    promise: `at most ${factor} times the floor`,
    outcome: `${round(ours / floor)} times`,
    kept: ours <= factor * floor,
  });
}

/** Time: ours may take this many milliseconds more than the floor. */
export function atMostMoreMs(ms: number): Promised {
  return (ours, floor) => ({
    promise: `at most ${ms} ms over the floor`,
    outcome: `${round(ours - floor)} ms over`,
    kept: ours - floor <= ms,
  });
}

/** Throughput: ours moves at least this share of the floor. */
export function atLeastShare(share: number): Promised {
  return (ours, floor) => ({
    promise: `at least ${Math.round(share * 100)} % of the floor`,
    outcome: `${Math.round((ours / floor) * 100)} %`,
    kept: ours >= share * floor,
  });
}

/** An amount that is bounded by itself. */
export function atMost(limit: number, unit: Unit): Promised {
  return (ours) => ({
    promise: `at most ${limit} ${unit}`,
    outcome: `${round(ours)} ${unit}`,
    kept: ours <= limit,
  });
}

/** Puts measurements of ours and of the floor side by side. */
export function compare(
  what: Pick<Finding, 'group' | 'name' | 'unit' | 'parts' | 'notes'>,
  ours: readonly number[],
  floor: readonly number[],
  promised?: Promised,
): Finding {
  const oursSummary = summarize(ours);
  const floorSummary = floor.length === 0 ? undefined : summarize(floor);
  const verdict = promised?.(oursSummary.median, floorSummary?.median ?? Number.NaN);
  return {
    ...what,
    ours: oursSummary,
    ...(floorSummary === undefined ? {} : { floor: floorSummary }),
    ...(verdict === undefined ? {} : { verdict }),
  };
}
