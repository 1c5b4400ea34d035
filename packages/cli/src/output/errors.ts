import {
  AuthenticationError,
  ConnectionError,
  NotFoundError,
  OpenComputerError,
  SandboxNotFoundError,
  SandboxStoppedError,
} from '@opencomputer/sdk';

/** Exit codes of `oc`, unless it ends with that of a command in the sandbox. */
export const exitCodes = { ok: 0, local: 1, refused: 3, conflict: 4, server: 5 } as const;

/** Something is wrong on this machine: an argument, a file, the terminal. */
export class LocalError extends Error {
  readonly hint: string;
  readonly code: string;

  constructor(
    message: string,
    { hint = '', code = 'local', cause }: { hint?: string; code?: string; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LocalError';
    this.hint = hint;
    this.code = code;
  }
}

/** An error as it is printed for people and programs. */
export interface Report {
  message: string;
  hint: string;
  code: string;
  requestId: string | undefined;
  exitCode: number;
}

/** Errors of the operating system about a path that the user gave. */
interface SystemError extends Error {
  code: string;
  syscall: string;
}

export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

/** What to print about an error. `apiUrl` is the address that was used for the platform. */
export function reportOf(error: unknown, apiUrl: string): Report {
  if (error instanceof OpenComputerError) return reportOfApi(error, apiUrl);
  const base = { requestId: undefined, exitCode: exitCodes.local };
  if (error instanceof LocalError)
    return { ...base, message: error.message, hint: error.hint, code: error.code };
  if (isSystemError(error)) return { ...base, message: error.message, hint: '', code: error.code };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { ...base, message, hint: 'This is a bug in oc.', code: 'bug' };
}

function reportOfApi(error: OpenComputerError, apiUrl: string): Report {
  const [message, hint] = explain(error, apiUrl);
  return { message, hint, code: error.code, requestId: error.requestId, exitCode: exitCodeOf(error.status) };
}

function exitCodeOf(status: number | undefined): number {
  if (status === undefined) return exitCodes.local;
  if (status >= 500) return exitCodes.server;
  return status === 409 ? exitCodes.conflict : exitCodes.refused;
}

/** Message and hint in the terms of the command line instead of the client library's options. */
function explain(error: OpenComputerError, apiUrl: string): [string, string] {
  const message = bareMessage(error);
  if (error instanceof ConnectionError && error.code === 'connection_failed')
    return isRefused(error) && isLocal(apiUrl)
      ? [`the platform does not run at ${apiUrl}`, 'Start it with `oc up`.']
      : [message, `The address is ${apiUrl}: \`oc config show\` says where that comes from.`];
  if (error instanceof AuthenticationError && error.status === 401)
    return [
      message,
      'Set a key with `oc config set api-key` or OPENCOMPUTER_API_KEY; `oc config show` says which one is used. `oc keys add NAME` makes one.',
    ];
  if (error instanceof SandboxNotFoundError) return [message, '`oc ls --status all` lists yours.'];
  if (error instanceof SandboxStoppedError) return [message, 'It has ended; `oc create` makes another one.'];
  if (error instanceof NotFoundError) return [message, notFoundHint(error)];
  if (error.code === 'unexpected_answer')
    return [
      message,
      `Is ${apiUrl} an OpenComputer server? \`oc config show\` says where the address comes from.`,
    ];
  return [message, error.hint];
}

function notFoundHint(error: NotFoundError): string {
  if (error.code === 'checkpoint_not_found') return '`oc checkpoint list` lists yours.';
  if (error.code === 'exec_not_found')
    return '`oc exec list ID` and `oc shell list ID` list the sessions of a sandbox.';
  return error.code === 'not_found'
    ? 'The server does not know this route; is it older than oc?'
    : error.hint;
}

function isRefused(error: ConnectionError): boolean {
  return error.details['systemCode'] === 'ECONNREFUSED';
}

function isLocal(apiUrl: string): boolean {
  return URL.canParse(apiUrl) && ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(apiUrl).hostname);
}

/** The message without what the client library adds to it: hint, HTTP status and request. */
function bareMessage({ message, hint }: OpenComputerError): string {
  const text = message.replace(/ \[(HTTP \d+|request [^\]]+|HTTP \d+, request [^\]]+)\]$/, '');
  return hint !== '' && text.endsWith(`. ${hint}`) ? text.slice(0, -hint.length - 2) : text;
}
