/**
 * The steps of the changes of a machine's life, in their order: the places between which something has changed on
 * disk or in a process, and where a crash therefore makes a difference. `tests/chaos` ends worker and machine at
 * every one of them.
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

/** Is told of every step from now on; what it throws is a failure of the step. For tests. */
export function watchSteps(watcher: Hook | undefined): void {
  hook = watcher;
}

/** Says that a change of a machine is at a step. */
export function atStep(step: Step, machine: string): Promise<void> | undefined {
  return hook?.(step, machine);
}
