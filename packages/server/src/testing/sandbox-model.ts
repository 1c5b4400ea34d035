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
  /** A command was lost with a restart that is still to come. */
  cutOff?: true;
}

/** Requests that start the machine anew, and end what runs in it. */
const restarts: readonly Request[] = ['reboot', 'powerCycle'];

/** A command that was running when the machine was started anew: it may have counted before. */
function afterCutOff(model: Model): Model[] {
  if ('refuse' in transitions[model.state].use) return [];
  return [model.count, model.count + 1].map((count) => ({ state: 'running', count, cutOff: true }));
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
  if (restarts.includes(request)) return { state, count: 0 };
  if (request === 'exec') return count === model.count + 1 ? { ...model, state, count } : undefined;
  return { ...model, state };
}

function allAfter(model: Model, outcome: Outcome): Model[] {
  if (outcome.request === 'exec' && outcome.refusal === 'guest_failed') return afterCutOff(model);
  const next = after(model, outcome);
  return next === undefined ? [] : [next];
}

/**
 * What a sandbox may be like after requests that were made at the same time: the ends of all orders that explain every
 * outcome.
 */
export function explain(starts: readonly Model[], outcomes: readonly Outcome[]): Model[] {
  const ends = new Map<string, Model>();
  const seen = new Set<string>();
  const walk = (model: Model, left: number): void => {
    const key = `${model.state} ${model.count} ${model.cutOff} ${left}`;
    if (seen.has(key)) return;
    seen.add(key);
    if (left === 0 && !model.cutOff) ends.set(key, model);
    for (const [index, outcome] of outcomes.entries()) {
      if ((left & (1 << index)) === 0) continue;
      for (const next of allAfter(model, outcome)) walk(next, left & ~(1 << index));
    }
  };
  for (const start of starts) walk(start, (1 << outcomes.length) - 1);
  return [...ends.values()];
}
