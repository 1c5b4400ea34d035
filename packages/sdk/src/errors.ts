/** Codes of the server, and codes of the client itself. Newer servers may send others. */
export type KnownErrorCode = ServerErrorCode | ClientErrorCode;

/** Codes of the server's answers. */
export type ServerErrorCode =
  | 'invalid_request'
  | 'invalid_json'
  | 'unsupported'
  | 'invalid_path'
  | 'is_directory'
  | 'not_directory'
  | 'not_regular_file'
  | 'checkpoint_not_ready'
  | 'too_many_checkpoints'
  | 'unauthorized'
  | 'forbidden'
  | 'signature_invalid'
  | 'not_found'
  | 'sandbox_not_found'
  | 'template_not_found'
  | 'file_not_found'
  | 'exec_not_found'
  | 'result_not_kept'
  | 'checkpoint_not_found'
  | 'patch_not_found'
  | 'method_not_allowed'
  | 'name_taken'
  | 'conflict'
  | 'busy'
  | 'session_ended'
  | 'not_terminal'
  | 'unsupported_guest'
  | 'sandbox_stopped'
  | 'too_large'
  | 'command_not_started'
  | 'too_many_sandboxes'
  | 'too_many_commands'
  | 'internal'
  | 'guest_failed'
  | 'snapshot_failed'
  | 'snapshot_damaged'
  | 'creation_failed'
  | 'start_failed'
  | 'no_capacity'
  | 'worker_unavailable'
  | 'shutting_down'
  | 'worker_timeout'
  | 'guest_timeout'
  | 'no_space';

/** Codes of failures without an answer, or with an invalid one. */
export type ClientErrorCode =
  | 'invalid_option'
  | 'connection_failed'
  | 'connection_lost'
  | 'request_timeout'
  | 'exec_timeout'
  | 'exec_failed'
  | 'session_ended'
  | 'session_refused'
  | 'shell_busy'
  | 'shell_closed'
  | 'too_slow'
  | 'websocket_missing'
  | 'unexpected_answer';

/** A code; editors complete the known ones. */
export type ErrorCode = KnownErrorCode | (string & {});

/** The parts of an error. */
export interface ErrorFields {
  code: ErrorCode;
  status?: number | undefined;
  hint?: string | undefined;
  requestId?: string | undefined;
  retryAfterMs?: number | undefined;
  details?: Record<string, unknown> | undefined;
  cause?: unknown;
}

/**
 * The base class of all errors of this package. Catch a subclass, or read `code`. The message says what happened and
 * what to do, and ends with the HTTP status and the request, where there are any: `sandbox sb-0a1b2c3d not found.
 * Sandbox.list() shows the sandboxes of this key. [HTTP 404, request 6f1c]`.
 *
 * @example
 * try {
 *   await sandbox.files.read('/app/data.json');
 * } catch (error) {
 *   if (error instanceof FileNotFoundError) await sandbox.files.write('/app/data.json', '{}');
 *   else throw error;
 * }
 */
export class OpenComputerError extends Error {
  /** Stable name of the cause. */
  readonly code: ErrorCode;
  /** HTTP status of the answer; undefined when there was none. */
  readonly status: number | undefined;
  /** What to do about it. */
  readonly hint: string;
  /** Id of the request in the server's log. */
  readonly requestId: string | undefined;
  /** Milliseconds after which the request may be sent again. */
  readonly retryAfterMs: number | undefined;
  /** Further details from the server, such as `{ limit: 4 }`. */
  readonly details: Record<string, unknown>;

  constructor(message: string, fields: ErrorFields) {
    const hint = fields.hint ?? '';
    const origin = [
      ...(fields.status === undefined ? [] : [`HTTP ${fields.status}`]),
      ...(fields.requestId === undefined ? [] : [`request ${fields.requestId}`]),
    ].join(', ');
    super(
      `${message}${hint === '' ? '' : `. ${hint}`}${origin === '' ? '' : ` [${origin}]`}`,
      fields.cause === undefined ? undefined : { cause: fields.cause },
    );
    this.name = new.target.name;
    this.code = fields.code;
    this.status = fields.status;
    this.hint = hint;
    this.requestId = fields.requestId;
    this.retryAfterMs = fields.retryAfterMs;
    this.details = fields.details ?? {};
  }
}

/** The key is missing, unknown or revoked. Set another one. */
export class AuthenticationError extends OpenComputerError {}

/** The request, or an option, is invalid. Correct it; trying again won't help. */
export class InvalidRequestError extends OpenComputerError {}

/** The object is in a state that does not allow this. Read its state and decide again. */
export class ConflictError extends OpenComputerError {}

/** The object does not exist. */
export class NotFoundError extends OpenComputerError {}

/** No sandbox of yours has this id. */
export class SandboxNotFoundError extends NotFoundError {}

/** The file or directory does not exist in the sandbox. */
export class FileNotFoundError extends NotFoundError {}

/** The sandbox has ended. Create a new one. */
export class SandboxStoppedError extends OpenComputerError {}

/** You have, or send, more than allowed. Free something or send less. */
export class LimitError extends OpenComputerError {}

/** The host or a disk is full. Free something, ask for less, or try again later. */
export class CapacityError extends LimitError {}

/** Something took longer than allowed. The message names the option that allows more. */
export class TimeoutError extends OpenComputerError {}

/**
 * `exec.run` or `exec.wait` stopped waiting (`timeoutMs` or `signal`). The command itself goes on:
 * get its result with `exec.wait(error.execId)`.
 */
export class ExecTimeoutError extends TimeoutError {
  /** Id of the command; undefined when the server had not sent it yet. */
  readonly execId: string | undefined;

  constructor(message: string, fields: ErrorFields & { execId: string | undefined }) {
    super(message, fields);
    this.execId = fields.execId;
  }
}

/** The server could not be reached, or the connection broke. */
export class ConnectionError extends OpenComputerError {
  /** False when it is certain that the server has not seen the request. */
  readonly requestSent: boolean;

  constructor(message: string, fields: ErrorFields & { requestSent: boolean }) {
    super(message, fields);
    this.requestSent = fields.requestSent;
  }
}

/** The platform failed. Try again later; if it stays, look for the request id in the server's log. */
export class ServerError extends OpenComputerError {}

/** `shell.run` was called while another command runs in the shell. Wait for that, or open another shell. */
export class ShellBusyError extends ConflictError {
  constructor() {
    super('the shell already runs a command', {
      code: 'shell_busy',
      hint: 'Wait for its end, or open another shell with exec.shell()',
    });
  }
}

/** The shell has ended: it was closed, a command called `exit`, or it was killed. Open another one. */
export class ShellClosedError extends ConflictError {
  constructor(reason: string, cause?: unknown) {
    super(`the shell is closed: ${reason}`, {
      code: 'shell_closed',
      hint: 'Open another one with exec.shell()',
      cause,
    });
  }
}
