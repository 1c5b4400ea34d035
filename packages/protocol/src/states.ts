import type { ErrorCode } from './errors.ts';

/** States of a sandbox as the store keeps them. */
export const sandboxStates = ['creating', 'running', 'hibernated', 'stopping', 'stopped', 'error'] as const;
export type SandboxState = (typeof sandboxStates)[number];

/**
 * Columns of the table: the states; `error` has a second column for a sandbox that never ran, and so has no disk to
 * start from.
 */
export const sandboxConditions = [...sandboxStates, 'neverRan'] as const;
export type SandboxCondition = (typeof sandboxConditions)[number];

/** The column of the table that a sandbox is in. @param hasRun Whether its machine has ever run. */
export function sandboxCondition(state: SandboxState, hasRun: boolean): SandboxCondition {
  return state === 'error' && !hasRun ? 'neverRan' : state;
}

/** States that clients see. */
export const publicStates = ['running', 'hibernated', 'stopped', 'error'] as const;
export type PublicState = (typeof publicStates)[number];

/** What can happen to a sandbox: asked for by a client, or observed. */
export const sandboxActions = [
  'created',
  'createFailed',
  'use',
  'setTimeout',
  'hibernate',
  'wake',
  'reboot',
  'powerCycle',
  'checkpoint',
  'restore',
  'stop',
  'stopped',
  'machineLost',
] as const;
export type SandboxAction = (typeof sandboxActions)[number];

export type Transition =
  | { readonly next: SandboxState }
  /** Nothing to do; the request succeeds. */
  | { readonly already: true }
  /** Possible once the sandbox has been woken. */
  | { readonly wakeFirst: true }
  | { readonly refuse: ErrorCode; readonly because: string };

const to = (next: SandboxState): Transition => ({ next });
const already: Transition = { already: true };
const wakeFirst: Transition = { wakeFirst: true };
const refuse = (code: ErrorCode, because: string): Transition => ({ refuse: code, because });

const gone = refuse('sandbox_stopped', 'it has ended');
const notYet = refuse('conflict', 'it is still being created');
const impossible = refuse('conflict', 'the platform does not do this in this state');

/** The one table of what is allowed in which state. The server enforces it; a test checks every cell. */
export const transitions: Record<SandboxCondition, Record<SandboxAction, Transition>> = {
  creating: {
    created: to('running'),
    createFailed: to('error'),
    use: notYet,
    setTimeout: notYet,
    hibernate: notYet,
    wake: notYet,
    reboot: notYet,
    powerCycle: notYet,
    checkpoint: notYet,
    restore: notYet,
    stop: to('stopping'),
    stopped: impossible,
    machineLost: to('error'),
  },
  running: {
    created: already,
    createFailed: impossible,
    use: to('running'),
    setTimeout: to('running'),
    hibernate: to('hibernated'),
    wake: already,
    reboot: to('running'),
    powerCycle: to('running'),
    checkpoint: to('running'),
    restore: to('running'),
    stop: to('stopping'),
    stopped: impossible,
    machineLost: to('error'),
  },
  hibernated: {
    created: already,
    createFailed: impossible,
    use: wakeFirst,
    setTimeout: wakeFirst,
    hibernate: already,
    wake: to('running'),
    // Its system shuts down properly, for which it has to run.
    reboot: wakeFirst,
    powerCycle: to('running'),
    checkpoint: wakeFirst,
    restore: to('running'),
    stop: to('stopping'),
    stopped: impossible,
    machineLost: to('error'),
  },
  stopping: {
    created: impossible,
    createFailed: impossible,
    use: gone,
    setTimeout: gone,
    hibernate: gone,
    wake: gone,
    reboot: gone,
    powerCycle: gone,
    checkpoint: gone,
    restore: gone,
    stop: already,
    stopped: to('stopped'),
    machineLost: already,
  },
  stopped: {
    created: impossible,
    createFailed: impossible,
    use: gone,
    setTimeout: gone,
    hibernate: gone,
    wake: gone,
    reboot: gone,
    powerCycle: gone,
    checkpoint: gone,
    restore: gone,
    stop: already,
    stopped: already,
    machineLost: already,
  },
  error: {
    created: impossible,
    createFailed: already,
    use: gone,
    setTimeout: gone,
    hibernate: gone,
    // Its disk is kept: it can be started from that, or put back to a checkpoint.
    wake: to('running'),
    reboot: to('running'),
    powerCycle: to('running'),
    checkpoint: gone,
    restore: to('running'),
    stop: to('stopping'),
    stopped: impossible,
    machineLost: already,
  },
  neverRan: {
    created: impossible,
    createFailed: already,
    use: gone,
    setTimeout: gone,
    hibernate: gone,
    wake: gone,
    reboot: gone,
    powerCycle: gone,
    checkpoint: gone,
    restore: gone,
    stop: to('stopping'),
    stopped: impossible,
    machineLost: already,
  },
};

/** What clients see of a state. */
export function publicState(state: SandboxState): PublicState {
  switch (state) {
    case 'creating':
    case 'running':
      return 'running';
    case 'hibernated':
      return 'hibernated';
    case 'stopping':
    case 'stopped':
      return 'stopped';
    case 'error':
      return 'error';
  }
}
