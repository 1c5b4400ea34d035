/** How turns are run. Absent fields have their defaults. */
export interface Configuration {
  model?: string;
  systemPrompt?: string;
  allowedTools?: string[];
  disallowedTools?: string[];
  permissionMode?: string;
  maxTurns?: number;
  /** Working directory of the agent and its commands. */
  cwd?: string;
  /** Passed to the agent as they are. */
  mcpServers?: Record<string, unknown>;
  /** Session to continue with the next prompt; used once. */
  resume?: string;
}

const checks = {
  text: { holds: (value: unknown) => typeof value === 'string' && value !== '', is: 'a non-empty text' },
  texts: {
    holds: (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
    is: 'a list of texts',
  },
  count: {
    holds: (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0,
    is: 'a positive whole number',
  },
  record: {
    holds: (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value),
    is: 'an object of servers by name',
  },
} as const;

const fields: Record<keyof Configuration, keyof typeof checks> = {
  model: 'text',
  systemPrompt: 'text',
  allowedTools: 'texts',
  disallowedTools: 'texts',
  permissionMode: 'text',
  maxTurns: 'count',
  cwd: 'text',
  mcpServers: 'record',
  resume: 'text',
};

/**
 * The fields of a configuration that are given. Others are ignored, and so are empty values: clients leave out
 * what is empty, so that an empty value asks for nothing.
 * @throws Error naming the field that has a wrong value, and what it should be
 */
export function parseConfiguration(value: Record<string, unknown>): Configuration {
  const given = Object.entries(fields).filter(([field]) => {
    const content = value[field];
    return content !== undefined && content !== null && content !== '';
  });
  for (const [field, kind] of given) {
    const check = checks[kind];
    if (!check.holds(value[field])) throw new Error(`${field} must be ${check.is}`);
  }
  return Object.fromEntries(given.map(([field]) => [field, value[field]]));
}
