/** The HTTP status of an error code, what it means, and what the caller can do. */
export interface ErrorKind {
  readonly status: number;
  readonly meaning: string;
  readonly hint: string;
}

/** Every error code of the API. The reference page is generated from this table. */
export const errorKinds = {
  invalid_request: {
    status: 400,
    meaning: 'A field of the request is missing, of the wrong type or out of range.',
    hint: 'Correct the field that the message names.',
  },
  invalid_json: {
    status: 400,
    meaning: 'The body is not valid JSON, or was cut off.',
    hint: 'Send a JSON object with Content-Type: application/json.',
  },
  unsupported: {
    status: 400,
    meaning: 'The request names a field that this version of the platform does not have.',
    hint: 'Leave it out, or use a version that has it.',
  },
  invalid_path: {
    status: 400,
    meaning: 'The path of a file is missing, too long, or contains NUL or "..".',
    hint: 'Give an absolute path such as /home/sandbox/data.txt.',
  },
  is_directory: {
    status: 400,
    meaning: 'The path is a directory where a file is needed.',
    hint: 'List it with GET files/list, or name a file inside it.',
  },
  not_directory: {
    status: 400,
    meaning: 'The path, or a part of it, is a file where a directory is needed.',
    hint: 'Name a directory.',
  },
  not_regular_file: {
    status: 400,
    meaning: 'The path is a device, socket or pipe that has no content to transfer.',
    hint: 'Name a regular file.',
  },
  checkpoint_not_ready: {
    status: 400,
    meaning: 'The checkpoint failed, or is not written yet.',
    hint: 'The errorMsg of the checkpoint holds the cause; take a new one.',
  },
  too_many_checkpoints: {
    status: 400,
    meaning: 'The sandbox has as many checkpoints of this kind as it may have.',
    hint: 'Delete one, or give retentionPolicy {"mode":"delete_oldest"}.',
  },
  unauthorized: {
    status: 401,
    meaning: 'The API key is missing, unknown or revoked.',
    hint: 'Send the key in the header X-API-Key; the server prints the first key when it starts for the first time.',
  },
  forbidden: {
    status: 403,
    meaning: 'This is not allowed on the object.',
    hint: 'Choose another target.',
  },
  signature_invalid: {
    status: 403,
    meaning: 'The signature of a signed URL is wrong or has expired, or the key that made it was revoked.',
    hint: 'Ask for a new URL.',
  },
  not_found: {
    status: 404,
    meaning: 'There is no such route or object.',
    hint: 'Look at /openapi.json for the routes.',
  },
  sandbox_not_found: {
    status: 404,
    meaning: 'No sandbox of yours has this id.',
    hint: 'List your sandboxes with GET /api/sandboxes.',
  },
  template_not_found: {
    status: 404,
    meaning: 'No template has this name.',
    hint: 'Use "base", the template that every installation has.',
  },
  file_not_found: {
    status: 404,
    meaning: 'The file or directory does not exist in the sandbox.',
    hint: 'List the parent directory to see what is there.',
  },
  exec_not_found: {
    status: 404,
    meaning: 'No command, session or terminal of the sandbox has this id.',
    hint: 'GET exec lists the sessions. They are in the memory of the sandbox: a start from its disk ends and forgets them.',
  },
  result_not_kept: {
    status: 404,
    meaning: 'The command has ended long ago, and its result is no longer kept.',
    hint: 'A sandbox keeps the results of its newest 512 commands. Write what must stay into a file.',
  },
  checkpoint_not_found: {
    status: 404,
    meaning: 'No checkpoint of yours has this id.',
    hint: 'List the checkpoints of a sandbox with GET /api/sandboxes/:id/checkpoints.',
  },
  patch_not_found: {
    status: 404,
    meaning: 'The checkpoint has no patch with this id.',
    hint: 'List the patches with GET /api/sandboxes/checkpoints/:cid/patches.',
  },
  method_not_allowed: {
    status: 405,
    meaning: 'The route exists, but not for this method.',
    hint: 'Look at /openapi.json for the methods of this route.',
  },
  name_taken: {
    status: 409,
    meaning: 'Another object has this name.',
    hint: 'Choose another name, or delete the other one first.',
  },
  conflict: {
    status: 409,
    meaning: 'The object is in a state that does not allow this.',
    hint: 'Read the state of the object and decide again.',
  },
  busy: {
    status: 409,
    meaning:
      'A change of the sandbox is under way, such as a checkpoint or a wake, and takes longer than usual.',
    hint: 'Try again when it has ended; the status of the sandbox says when.',
  },
  session_ended: {
    status: 409,
    meaning: 'The session has ended, or takes no input.',
    hint: 'Start another session.',
  },
  not_terminal: {
    status: 409,
    meaning: 'The session has no terminal whose size could change.',
    hint: 'Make terminals with POST pty.',
  },
  unsupported_guest: {
    status: 409,
    meaning: 'The sandbox was saved with a guest agent that is too old for this.',
    hint: 'Reboot the sandbox: it starts with the guest agent of this installation.',
  },
  sandbox_stopped: {
    status: 410,
    meaning: 'The sandbox has ended (stopped or failed) and cannot be used any more.',
    hint: 'Create a new sandbox; the reason is in its status.',
  },
  too_large: {
    status: 413,
    meaning: 'The body, or a part of it, is larger than the limit.',
    hint: 'Send less at once.',
  },
  command_not_started: {
    status: 422,
    meaning: 'The command could not be started: no such executable or working directory.',
    hint: 'Check the spelling; to run a line of shell, use sh -c.',
  },
  too_many_sandboxes: {
    status: 429,
    meaning: 'This key has as many live sandboxes as it may have.',
    hint: 'Kill one, or raise OPENCOMPUTER_MAX_SANDBOXES.',
  },
  too_many_commands: {
    status: 429,
    meaning: 'Too many commands run at once in this sandbox.',
    hint: 'Wait for some to end.',
  },
  internal: {
    status: 500,
    meaning: 'The platform failed in a way that it should not.',
    hint: 'Look for the request id in the log of the server and report it.',
  },
  guest_failed: {
    status: 502,
    meaning: 'The guest sent an invalid answer, or its channel broke.',
    hint: 'Try again; if it stays, create a new sandbox.',
  },
  snapshot_failed: {
    status: 500,
    meaning: 'The state of the machine could not be saved; the sandbox goes on running.',
    hint: 'The message holds the cause; try again.',
  },
  snapshot_damaged: {
    status: 500,
    meaning: 'A file of a checkpoint, or of the disk of a hibernated sandbox, is not what was saved.',
    hint: 'Use another checkpoint. A hibernated sandbox can be restored to a checkpoint; powerCycle boots its disk as it is.',
  },
  creation_failed: {
    status: 502,
    meaning: 'The machine of a new sandbox could not be started.',
    hint: 'Run the doctor on the host; the message holds the cause.',
  },
  start_failed: {
    status: 502,
    meaning: 'The machine of a sandbox could not be started by a wake, reboot, power-cycle or restore.',
    hint: 'The message holds the cause. Try again; if it stays, run the doctor on the host, or restore a checkpoint.',
  },
  no_capacity: {
    status: 503,
    meaning: 'The host has no memory or disk left for this.',
    hint: 'Kill sandboxes that are no longer needed, ask for less, or try again later.',
  },
  worker_unavailable: {
    status: 503,
    meaning: 'The worker that owns the machine cannot be reached at the moment.',
    hint: 'Try again in a few seconds; running sandboxes are not affected.',
  },
  shutting_down: {
    status: 503,
    meaning: 'The server is stopping.',
    hint: 'Try again when it is back.',
  },
  worker_timeout: {
    status: 504,
    meaning: 'The worker, which runs the machines of a host, did not answer in time.',
    hint: 'Try again; if it stays, look at the load and the log of the host.',
  },
  guest_timeout: {
    status: 504,
    meaning: 'The guest did not answer in time.',
    hint: 'The sandbox may be overloaded; try again.',
  },
  no_space: {
    status: 507,
    meaning: 'The disk is full, in the sandbox or on the host.',
    hint: 'Remove files that are not needed.',
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

/** Codes for our own processes only. A client gets the code in `shown` instead. */
export const internalErrorKinds = {
  /** The machine is hibernated: the request is possible once it is awake. */
  hibernated: { shown: 'conflict' },
  /** The caller has gone away. */
  cancelled: { shown: 'internal' },
  /** The client of a sandbox that was being created has gone away. */
  abandoned: { shown: 'creation_failed' },
} as const satisfies Record<string, { readonly shown: ErrorCode }>;

export type InternalErrorCode = keyof typeof internalErrorKinds;
export type AnyErrorCode = ErrorCode | InternalErrorCode;

function isInternal(code: string): code is InternalErrorCode {
  return Object.hasOwn(internalErrorKinds, code);
}

/** The code that a client gets. */
function shownCode(code: AnyErrorCode): ErrorCode {
  return isInternal(code) ? internalErrorKinds[code].shown : code;
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorKinds, text);
}

/** The body of an error, between client and server as well as between server and worker. */
export interface ErrorBody {
  error: string;
  code: AnyErrorCode;
  hint: string;
  requestId?: string;
  [detail: string]: unknown;
}

export interface ApiErrorOptions {
  /** Replaces the hint of the code where a better one is known. */
  hint?: string;
  /** Extra members of the error body, e.g. `{ limit: 4 }`. Never secrets. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/** An error that a client may see. Any other error becomes `internal`. */
export class ApiError extends Error {
  readonly code: AnyErrorCode;
  readonly status: number;
  readonly hint: string;
  readonly details: Record<string, unknown>;

  constructor(code: AnyErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ApiError';
    this.code = code;
    const kind = errorKinds[shownCode(code)];
    this.status = kind.status;
    this.hint = options.hint ?? kind.hint;
    this.details = options.details ?? {};
  }

  /** The same error with a code that clients know. */
  forClient(): ApiError {
    const { message, hint, details, cause } = this;
    return isInternal(this.code)
      ? new ApiError(shownCode(this.code), message, { hint, details, cause })
      : this;
  }

  /** The body to send; to a client, that of `forClient`. */
  toBody(requestId?: string): ErrorBody {
    return {
      ...this.details,
      error: this.message,
      code: this.code,
      hint: this.hint,
      ...(requestId === undefined ? {} : { requestId }),
    };
  }

  /** Parses an error body, e.g. from the worker; one that cannot be parsed becomes `fallback`. */
  static fromBody(body: unknown, fallback: ErrorCode): ApiError {
    if (typeof body !== 'object' || body === null)
      return new ApiError(fallback, errorKinds[fallback].meaning);
    const { error, code, hint, requestId: _requestId, ...details } = body as Record<string, unknown>;
    const known = typeof code === 'string' && (isErrorCode(code) || isInternal(code)) ? code : fallback;
    const message = typeof error === 'string' ? error : errorKinds[shownCode(known)].meaning;
    return new ApiError(known, message, { details, ...(typeof hint === 'string' ? { hint } : {}) });
  }
}
