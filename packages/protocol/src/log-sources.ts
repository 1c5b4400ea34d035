/** Where lines of the logs come from: files and journal of the system, commands, the guest agent. */
export const logSources = ['var_log', 'exec_stdout', 'exec_stderr', 'agent'] as const;
export type LogSource = (typeof logSources)[number];
