/** Errors of waking a hibernated sandbox, which every use of it does. */
const waking = ['too_many_sandboxes', 'no_capacity', 'no_space', 'start_failed', 'conflict', 'busy'] as const;
/** Errors of any use of a sandbox. */
export const usingSandbox = [
  'sandbox_not_found',
  'sandbox_stopped',
  'worker_unavailable',
  'worker_timeout',
  'shutting_down',
  ...waking,
] as const;
/** Errors of calls to the guest. */
export const inGuest = [...usingSandbox, 'guest_failed', 'guest_timeout'] as const;
/** Errors of sessions and logs: an older guest agent may not have them, and a token may not allow them. */
export const amongSessions = [...inGuest, 'unsupported_guest', 'forbidden'] as const;
export const onSession = [...amongSessions, 'exec_not_found', 'result_not_kept'] as const;
export const startingSession = [...amongSessions, 'command_not_started', 'too_many_commands'] as const;

/** Errors of a change of a sandbox's state. */
export const changingSandbox = [
  'sandbox_not_found',
  'sandbox_stopped',
  'conflict',
  'busy',
  'worker_unavailable',
  'worker_timeout',
  'shutting_down',
] as const;
/** Errors of a change after which a machine runs. */
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
