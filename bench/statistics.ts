/** What many measurements of one thing come to. */
export interface Summary {
  count: number;
  median: number;
  p95: number;
  min: number;
  max: number;
}

/**
 * The value below which a share of the values lies, interpolated between neighbours.
 * @param sorted ascending, at least one
 * @param share 0 to 1
 */
export function quantile(sorted: readonly number[], share: number): number {
  if (sorted.length === 0) throw new RangeError('a quantile needs at least one value');
  if (!(share >= 0 && share <= 1)) throw new RangeError(`a share is a number from 0 to 1, not ${share}`);
  const position = share * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? Number.NaN;
  const above = sorted[Math.ceil(position)] ?? Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/** @throws RangeError when there are no values, or one is not a finite number */
export function summarize(values: readonly number[]): Summary {
  if (values.some((value) => !Number.isFinite(value)))
    throw new RangeError('a measurement is not a finite number');
  const sorted = values.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    median: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    min: quantile(sorted, 0),
    max: quantile(sorted, 1),
  };
}

/** Medians of several values that were measured together, by name. A name that is missing somewhere counts where it is. */
export function medians(samples: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const names = new Set(samples.flatMap((sample) => Object.keys(sample)));
  return Object.fromEntries(
    [...names].map((name) => {
      const values = samples.flatMap((sample) => sample[name] ?? []);
      return [name, summarize(values).median];
    }),
  );
}
