import { type SandboxAction, type SandboxState, transitions } from '@opencomputer/protocol';

/** What clients ask of a sandbox at the same time. `exec` runs the command `count`, which counts in memory. */
export const requests = [
  'exec',
  'setTimeout',
  'hibernate',
  'wake',
  'reboot',
  'powerCycle',
  'checkpoint',
  'stop',
] as const;
export type Request = (typeof requests)[number];

/** What became of a request, as far as its client can tell. */
export interface Outcome {
  request: Request;
  /** Code of the refusal; undefined: it was done. */
  refusal: string | undefined;
  /** What `exec` counted to. */
  count?: number;
}

/** What a sandbox may be like. */
export interface Model {
  state: SandboxState;
  /** In memory, so that a restart puts it to 0. */
  count: number;
}

/** One request alone, by the state table. @returns undefined when the outcome cannot be explained by this model */
function after(model: Model, { request, refusal, count }: Outcome): Model | undefined {
  const action: SandboxAction = request === 'exec' ? 'use' : request;
  const transition = transitions[model.state][action];
  if ('refuse' in transition) return transition.refuse === refusal ? model : undefined;
  if (refusal !== undefined) return undefined;
  if ('wakeFirst' in transition)
    return after(
      { ...model, state: 'running' },
      { request, refusal, ...(count === undefined ? {} : { count }) },
    );
  // A stop ends when the machine has gone.
  const next = 'already' in transition ? model.state : transition.next;
  const state = next === 'stopping' ? 'stopped' : next;
  if (request === 'exec') return count === model.count + 1 ? { state, count } : undefined;
  if (request === 'reboot' || request === 'powerCycle') return { state, count: 0 };
  return { state, count: model.count };
}

/**
 * What a sandbox may be like after requests that were made at the same time: the ends of all orders that explain every
 * outcome.
 */
export function explain(starts: readonly Model[], outcomes: readonly Outcome[]): Model[] {
  const ends = new Map<string, Model>();
  const seen = new Set<string>();
  const walk = (model: Model, left: number): void => {
    const key = `${model.state} ${model.count} ${left}`;
    if (seen.has(key)) return;
    seen.add(key);
    if (left === 0) ends.set(key, model);
    for (const [index, outcome] of outcomes.entries()) {
      if ((left & (1 << index)) === 0) continue;
      const next = after(model, outcome);
      if (next !== undefined) walk(next, left & ~(1 << index));
    }
  };
  for (const start of starts) walk(start, (1 << outcomes.length) - 1);
  return [...ends.values()];
}
