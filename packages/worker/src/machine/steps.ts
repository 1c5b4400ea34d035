/**
 * The steps of each change of a machine, in order. Between two steps something changes on disk or in a process, so that
 * a crash has another effect. `tests/chaos` kills worker and machine at every step.
 */
export const steps = {
  create: ['network', 'files', 'loaded', 'answered', 'recorded'],
  hibernate: ['copied', 'stopped', 'taken', 'sealed', 'moved', 'recorded', 'ended'],
  wake: ['linked', 'loaded', 'recorded', 'answered'],
  snapshot: [
    'recorded',
    'overlaid',
    'copied',
    'stopped',
    'taken',
    'switched',
    'running',
    'gathered',
    'sealed',
    'published',
  ],
  restore: ['files', 'loaded', 'recorded', 'ended', 'answered'],
  reboot: ['ended'],
  boot: ['prepared', 'recorded', 'started', 'answered'],
  flatten: ['begun', 'copied', 'recorded', 'dropped'],
  // Another change is asked for while the disk is flattened.
  abortFlatten: ['found', 'cancelled'],
  delete: ['marked', 'ended', 'moved'],
} as const;

type Steps = typeof steps;

/** One step, as `hibernate:stopped`. */
export type Step = { [Change in keyof Steps]: `${Change}:${Steps[Change][number]}` }[keyof Steps];

type Hook = (step: Step, machine: string) => Promise<void>;

let hook: Hook | undefined;

/** Calls `watcher` at every step from now on; an error that it throws makes the step fail. For tests. */
export function watchSteps(watcher: Hook | undefined): void {
  hook = watcher;
}

/** Reports that a change of a machine has reached a step. */
export function atStep(step: Step, machine: string): Promise<void> | undefined {
  return hook?.(step, machine);
}
