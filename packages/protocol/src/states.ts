import type { ErrorCode } from './errors.ts';

/** States of a sandbox as the store keeps them. */
export const sandboxStates = ['creating', 'running', 'stopping', 'stopped', 'error'] as const;
export type SandboxState = (typeof sandboxStates)[number];

/** States that clients see. */
export const publicStates = ['running', 'hibernated', 'stopped', 'error'] as const;
export type PublicState = (typeof publicStates)[number];

/** What can happen to a sandbox: asked for by a client, or observed. */
export const sandboxActions = [
  'created',
  'createFailed',
  'use',
  'setTimeout',
  'stop',
  'stopped',
  'machineLost',
] as const;
export type SandboxAction = (typeof sandboxActions)[number];

export type Transition =
  | { readonly next: SandboxState }
  /** Nothing to do; the answer is a success. */
  | { readonly already: true }
  | { readonly refuse: ErrorCode; readonly because: string };

const to = (next: SandboxState): Transition => ({ next });
const already: Transition = { already: true };
const refuse = (code: ErrorCode, because: string): Transition => ({ refuse: code, because });

const gone = refuse('sandbox_stopped', 'it has ended');
const notYet = refuse('conflict', 'it is still being created');
const impossible = refuse('conflict', 'the platform does not do this in this state');

/** The one table of what is allowed when. The server enforces it; a test walks every cell. */
export const transitions: Record<SandboxState, Record<SandboxAction, Transition>> = {
  creating: {
    created: to('running'),
    createFailed: to('error'),
    use: notYet,
    setTimeout: notYet,
    stop: to('stopping'),
    stopped: impossible,
    machineLost: to('error'),
  },
  running: {
    created: already,
    createFailed: impossible,
    use: to('running'),
    setTimeout: to('running'),
    stop: to('stopping'),
    stopped: impossible,
    machineLost: to('error'),
  },
  stopping: {
    created: impossible,
    createFailed: impossible,
    use: gone,
    setTimeout: gone,
    stop: already,
    stopped: to('stopped'),
    machineLost: already,
  },
  stopped: {
    created: impossible,
    createFailed: impossible,
    use: gone,
    setTimeout: gone,
    stop: already,
    stopped: already,
    machineLost: already,
  },
  error: {
    created: impossible,
    createFailed: already,
    use: gone,
    setTimeout: gone,
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
    case 'stopping':
    case 'stopped':
      return 'stopped';
    case 'error':
      return 'error';
  }
}
