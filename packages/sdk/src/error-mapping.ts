import {
  AuthenticationError,
  CapacityError,
  ConflictError,
  ConnectionError,
  FileNotFoundError,
  InvalidRequestError,
  LimitError,
  NotFoundError,
  SandboxNotFoundError,
  SandboxStoppedError,
  ServerError,
  TimeoutError,
} from './errors.ts';
import type { ErrorCode, ErrorFields, OpenComputerError, ServerErrorCode } from './errors.ts';

type ErrorClass = new (message: string, fields: ErrorFields) => OpenComputerError;

/** The class of each code. */
export const classOfCode: Readonly<Record<ServerErrorCode, ErrorClass>> = {
  invalid_request: InvalidRequestError,
  invalid_json: InvalidRequestError,
  unsupported: InvalidRequestError,
  invalid_path: InvalidRequestError,
  is_directory: InvalidRequestError,
  not_directory: InvalidRequestError,
  not_regular_file: InvalidRequestError,
  checkpoint_not_ready: ConflictError,
  too_many_checkpoints: LimitError,
  unauthorized: AuthenticationError,
  forbidden: InvalidRequestError,
  signature_invalid: InvalidRequestError,
  not_found: NotFoundError,
  sandbox_not_found: SandboxNotFoundError,
  template_not_found: NotFoundError,
  file_not_found: FileNotFoundError,
  exec_not_found: NotFoundError,
  result_not_kept: NotFoundError,
  checkpoint_not_found: NotFoundError,
  patch_not_found: NotFoundError,
  method_not_allowed: InvalidRequestError,
  name_taken: ConflictError,
  conflict: ConflictError,
  busy: ConflictError,
  session_ended: ConflictError,
  not_terminal: ConflictError,
  unsupported_guest: ConflictError,
  sandbox_stopped: SandboxStoppedError,
  too_large: LimitError,
  command_not_started: InvalidRequestError,
  too_many_sandboxes: LimitError,
  too_many_commands: LimitError,
  internal: ServerError,
  guest_failed: ServerError,
  snapshot_failed: ServerError,
  snapshot_damaged: ServerError,
  creation_failed: ServerError,
  start_failed: ServerError,
  no_capacity: CapacityError,
  worker_unavailable: ServerError,
  shutting_down: ServerError,
  worker_timeout: TimeoutError,
  guest_timeout: TimeoutError,
  no_space: CapacityError,
};

/** Hints for this package instead of the server's, which are about HTTP. */
const ownHints: Partial<Record<ServerErrorCode, string>> = {
  unauthorized: 'Pass apiKey or set OPENCOMPUTER_API_KEY to a valid key of this server.',
  sandbox_not_found: 'Sandbox.list() shows the sandboxes of this key.',
  sandbox_stopped: 'Create a new one with Sandbox.create().',
  checkpoint_not_found:
    'sandbox.listCheckpoints() shows those of a sandbox, Sandbox.listAllCheckpoints() all.',
  too_many_checkpoints: "Delete one, or pass retentionPolicy: { mode: 'delete_oldest' }.",
  is_directory: 'Use files.list() for a directory, or name a file inside it.',
  not_found: 'Check that apiUrl is the address of an OpenComputer server.',
};

/** Class of an answer without a known code, as proxies and older servers send. */
function classOfStatus(status: number): ErrorClass {
  if (status === 401 || status === 403) return AuthenticationError;
  if (status === 404) return NotFoundError;
  if (status === 408 || status === 504) return TimeoutError;
  if (status === 409) return ConflictError;
  if (status === 410) return SandboxStoppedError;
  if (status === 413 || status === 429) return LimitError;
  if (status === 507) return CapacityError;
  return status >= 500 ? ServerError : InvalidRequestError;
}

function isServerCode(code: unknown): code is ServerErrorCode {
  return typeof code === 'string' && Object.hasOwn(classOfCode, code);
}

/** The error for an unsuccessful answer. */
export function errorFromAnswer(status: number, headers: Headers, body: string): OpenComputerError {
  const { error, code, hint, requestId, ...details } = parseObject(body);
  const known = isServerCode(code) ? code : undefined;
  const Class = known === undefined ? classOfStatus(status) : classOfCode[known];
  const text = typeof error === 'string' && error !== '' ? error : plainText(body);
  return new Class(text === '' ? `the server answered ${status}` : withoutFullStop(text), {
    code: typeof code === 'string' ? code : fallbackCode(status),
    status,
    hint: (known && ownHints[known]) ?? (typeof hint === 'string' ? hint : undefined),
    requestId: headers.get('x-request-id') ?? (typeof requestId === 'string' ? requestId : undefined),
    retryAfterMs: retryAfterMs(headers),
    details,
  });
}

function fallbackCode(status: number): ErrorCode {
  return status >= 300 && status < 400 ? 'unexpected_answer' : `http_${status}`;
}

/** A redirect is not followed: the key would be sent to any host that it names. */
export function errorFromRedirect(url: string, status: number, location: string | null): OpenComputerError {
  return new InvalidRequestError(`${new URL(url).origin} redirects to ${location ?? 'nowhere'}`, {
    code: 'unexpected_answer',
    status,
    hint: 'Set apiUrl (or OPENCOMPUTER_API_URL) to the final address.',
  });
}

/** The error for a successful answer whose body does not fit the API. */
export function errorFromNonsense(url: string, status: number, body: string): OpenComputerError {
  return new ServerError(
    `${url} answered ${status} with something else than the API promises: ${JSON.stringify(body.slice(0, 120))}`,
    {
      code: 'unexpected_answer',
      status,
      hint: 'Check that apiUrl is the address of an OpenComputer server.',
    },
  );
}

/** Failures of these kinds happen before a request is sent. */
const notSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** The error for a rejected `fetch`, or a body that was cut off. */
export function errorFromFailure(url: string, failure: unknown): ConnectionError {
  const cause = failure instanceof Error && failure.cause !== undefined ? failure.cause : failure;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : code || String(cause);
  const { origin } = new URL(url);
  if (notSent.has(code))
    return new ConnectionError(`cannot connect to ${origin} (${reason})`, {
      code: 'connection_failed',
      hint: 'Start the server there, or set apiUrl (OPENCOMPUTER_API_URL) to where it runs.',
      details: { systemCode: code },
      requestSent: false,
      cause: failure,
    });
  return new ConnectionError(`the connection to ${origin} broke (${reason})`, {
    code: 'connection_lost',
    hint: 'The request may have been carried out; look at the state before you repeat it.',
    details: { systemCode: code },
    requestSent: true,
    cause: failure,
  });
}

function parseObject(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    // Proxies answer HTML or text; the caller falls back to the status and the text.
    return {};
  }
}

function plainText(body: string): string {
  const text = body.trim();
  return /^[<{[]/.test(text) ? '' : text.slice(0, 300);
}

function withoutFullStop(text: string): string {
  return text.replace(/\.\s*$/, '');
}

function retryAfterMs(headers: Headers): number | undefined {
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}
