/** What waking a hibernated sandbox may answer, which any use of it does. */
const waking = ['too_many_sandboxes', 'no_capacity', 'no_space', 'start_failed', 'conflict', 'busy'] as const;
/** Use of a sandbox. */
export const usingSandbox = [
  'sandbox_not_found',
  'sandbox_stopped',
  'worker_unavailable',
  'worker_timeout',
  'shutting_down',
  ...waking,
] as const;
/** Work in the guest. */
export const inGuest = [...usingSandbox, 'guest_failed', 'guest_timeout'] as const;
/** Work with sessions and logs, which a guest of an older agent may not have, or a token not be good for. */
export const amongSessions = [...inGuest, 'unsupported_guest', 'forbidden'] as const;
export const onSession = [...amongSessions, 'exec_not_found', 'result_not_kept'] as const;
export const startingSession = [...amongSessions, 'command_not_started', 'too_many_commands'] as const;

/** A change of a sandbox's state. */
export const changingSandbox = [
  'sandbox_not_found',
  'sandbox_stopped',
  'conflict',
  'busy',
  'worker_unavailable',
  'worker_timeout',
  'shutting_down',
] as const;
/** A change after which a machine runs. */
export const startingMachine = [
  ...changingSandbox,
  'too_many_sandboxes',
  'no_capacity',
  'no_space',
  'start_failed',
  'guest_timeout',
  'guest_failed',
] as const;
export const onCheckpoint = ['checkpoint_not_found', 'checkpoint_not_ready'] as const;
