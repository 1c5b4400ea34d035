import { z } from 'zod';
import { execPollSchema, execRequestSchema, execResultSchema, execStartedSchema } from './exec.ts';
import { fileEntrySchema, pathQuerySchema, signedUrlSchema, signUrlSchema } from './files.ts';
import { limits } from './limits.ts';
import { liveOperations } from './operations-live.ts';
import { checkpointOperations, lifecycleOperations } from './operations-state.ts';
import {
  createSandboxSchema,
  listSandboxesQuerySchema,
  sandboxSchema,
  setTimeoutSchema,
} from './sandboxes.ts';
import { healthSchema, readinessSchema } from './system.ts';
import type { ErrorCode } from './errors.ts';

/** What a success carries: a JSON schema, raw bytes, text, server-sent events, or nothing. */
export type Payload = z.ZodType | 'bytes' | 'text' | 'events' | 'none';

/** One route of the public API. The server routes by this table and the OpenAPI document is written from it. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path with `:name` parameters. */
  readonly path: string;
  readonly tag: 'sandboxes' | 'checkpoints' | 'exec' | 'pty' | 'agent' | 'files' | 'system';
  readonly summary: string;
  readonly description?: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType | 'bytes';
  /** Status -> what it carries. */
  readonly success: Readonly<Record<number, Payload>>;
  /** Codes beyond `invalid_request`, `unauthorized` and `internal`, which every authenticated route may answer. */
  readonly errors: readonly ErrorCode[];
  /** `key`: an API key; `data`: that, or the token of the sandbox; `signature`: a signed URL; `none`: open. */
  readonly auth: 'key' | 'data' | 'signature' | 'none';
}

const documentedShape = { cpuCountMax: limits.cpuCountMax, memoryMBMax: limits.memoryMBMax };
/** What waking a hibernated sandbox may answer, which any use of it does. */
const waking = ['too_many_sandboxes', 'no_capacity', 'no_space', 'creation_failed', 'conflict'] as const;
const onSandbox = [
  'sandbox_not_found',
  'sandbox_stopped',
  'worker_unavailable',
  'shutting_down',
  ...waking,
] as const;
const inGuest = [...onSandbox, 'guest_failed', 'guest_timeout'] as const;
const onFile = [...inGuest, 'invalid_path', 'forbidden'] as const;
const signedQuery = pathQuerySchema.extend({ expires: z.string(), signature: z.string() });

export const operations = {
  ...checkpointOperations,
  createSandbox: {
    method: 'POST',
    path: '/api/sandboxes',
    tag: 'sandboxes',
    summary: 'Create a sandbox',
    description: 'Answers once the machine runs and takes commands. All fields are optional.',
    body: createSandboxSchema(documentedShape),
    success: { 201: sandboxSchema },
    errors: [
      'template_not_found',
      'too_many_sandboxes',
      'no_capacity',
      'no_space',
      'creation_failed',
      'worker_unavailable',
      'shutting_down',
    ],
    auth: 'key',
  },
  listSandboxes: {
    method: 'GET',
    path: '/api/sandboxes',
    tag: 'sandboxes',
    summary: 'List sandboxes, newest first',
    description:
      'Filter with `status` and `metadata[key]=value` (repeatable, all must match). The header X-Next-Cursor names the next page.',
    query: listSandboxesQuerySchema,
    success: { 200: z.array(sandboxSchema) },
    errors: [],
    auth: 'key',
  },
  getSandbox: {
    method: 'GET',
    path: '/api/sandboxes/:id',
    tag: 'sandboxes',
    summary: 'Read a sandbox',
    success: { 200: sandboxSchema },
    errors: ['sandbox_not_found'],
    auth: 'key',
  },
  deleteSandbox: {
    method: 'DELETE',
    path: '/api/sandboxes/:id',
    tag: 'sandboxes',
    summary: 'Kill a sandbox and delete its disk',
    description:
      'Works in every state; deleting a stopped sandbox again is a success. Its checkpoints stay until they are deleted.',
    success: { 204: 'none' },
    errors: ['sandbox_not_found', 'shutting_down'],
    auth: 'key',
  },
  ...lifecycleOperations,
  setTimeout: {
    method: 'POST',
    path: '/api/sandboxes/:id/timeout',
    tag: 'sandboxes',
    summary: 'Set the idle timeout and restart its clock',
    description: 'Wakes the sandbox if it is hibernated.',
    body: setTimeoutSchema,
    success: { 204: 'none' },
    errors: [...onSandbox],
    auth: 'data',
  },
  runCommand: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/run',
    tag: 'exec',
    summary: 'Run a command and wait for its end',
    description:
      'While the command runs, white space is sent every 10 s so that no proxy or client gives up; the JSON follows. A failure after that is a 200 whose body is an error.',
    body: execRequestSchema,
    success: { 200: execResultSchema },
    errors: [...inGuest, 'command_not_started', 'too_many_commands'],
    auth: 'data',
  },
  runCommandAsync: {
    method: 'POST',
    path: '/api/sandboxes/:id/exec/run-async',
    tag: 'exec',
    summary: 'Start a command',
    description: 'Answers the result (200) when it ends within 400 ms, else an id to poll with (202).',
    body: execRequestSchema,
    success: { 200: execResultSchema, 202: execStartedSchema },
    errors: [...inGuest, 'command_not_started', 'too_many_commands'],
    auth: 'data',
  },
  getCommandResult: {
    method: 'GET',
    path: '/api/sandboxes/:id/exec/:execId/result',
    tag: 'exec',
    summary: 'Poll a started command',
    description: 'Holds the answer for up to 500 ms while the command runs.',
    success: { 200: execPollSchema },
    errors: [...inGuest, 'exec_not_found'],
    auth: 'data',
  },
  ...liveOperations,
  readFile: {
    method: 'GET',
    path: '/api/sandboxes/:id/files',
    tag: 'files',
    summary: 'Read a file',
    query: pathQuerySchema,
    success: { 200: 'bytes' },
    errors: [...onFile, 'file_not_found', 'is_directory', 'not_regular_file'],
    auth: 'data',
  },
  writeFile: {
    method: 'PUT',
    path: '/api/sandboxes/:id/files',
    tag: 'files',
    summary: 'Write a file',
    description:
      'Creates parent directories. The old content stays until the whole body has arrived; a body that is cut off changes nothing.',
    query: pathQuerySchema,
    body: 'bytes',
    success: { 204: 'none' },
    errors: [...onFile, 'is_directory', 'not_directory', 'too_large'],
    auth: 'data',
  },
  deleteFile: {
    method: 'DELETE',
    path: '/api/sandboxes/:id/files',
    tag: 'files',
    summary: 'Remove a file or a directory with all in it',
    description: 'A missing path is a success.',
    query: pathQuerySchema,
    success: { 204: 'none' },
    errors: [...onFile],
    auth: 'data',
  },
  listFiles: {
    method: 'GET',
    path: '/api/sandboxes/:id/files/list',
    tag: 'files',
    summary: 'List a directory',
    description: 'The header X-Truncated is `true` when there are more entries than were listed.',
    query: pathQuerySchema.partial(),
    success: { 200: z.array(fileEntrySchema) },
    errors: [...onFile, 'file_not_found', 'not_directory'],
    auth: 'data',
  },
  makeDirectory: {
    method: 'POST',
    path: '/api/sandboxes/:id/files/mkdir',
    tag: 'files',
    summary: 'Make a directory and its parents',
    query: pathQuerySchema,
    success: { 204: 'none' },
    errors: [...onFile, 'not_directory'],
    auth: 'data',
  },
  signDownload: {
    method: 'POST',
    path: '/api/sandboxes/:id/files/download-url',
    tag: 'files',
    summary: 'Make a URL that reads one file without a key',
    body: signUrlSchema,
    success: { 200: signedUrlSchema },
    errors: ['sandbox_not_found', 'invalid_path'],
    auth: 'data',
  },
  signUpload: {
    method: 'POST',
    path: '/api/sandboxes/:id/files/upload-url',
    tag: 'files',
    summary: 'Make a URL that writes one file without a key',
    body: signUrlSchema,
    success: { 200: signedUrlSchema },
    errors: ['sandbox_not_found', 'invalid_path'],
    auth: 'data',
  },
  signedDownload: {
    method: 'GET',
    path: '/api/sandboxes/:id/files/download',
    tag: 'files',
    summary: 'Read a file through a signed URL',
    query: signedQuery,
    success: { 200: 'bytes' },
    errors: [...onFile, 'signature_invalid', 'file_not_found', 'is_directory', 'not_regular_file'],
    auth: 'signature',
  },
  signedUpload: {
    method: 'PUT',
    path: '/api/sandboxes/:id/files/upload',
    tag: 'files',
    summary: 'Write a file through a signed URL',
    query: signedQuery,
    body: 'bytes',
    success: { 204: 'none' },
    errors: [...onFile, 'signature_invalid', 'is_directory', 'not_directory', 'too_large'],
    auth: 'signature',
  },
  health: {
    method: 'GET',
    path: '/health',
    tag: 'system',
    summary: 'Is the server there',
    success: { 200: healthSchema },
    errors: [],
    auth: 'none',
  },
  alive: {
    method: 'GET',
    path: '/healthz',
    tag: 'system',
    summary: 'Is the process alive',
    success: { 200: z.object({ status: z.literal('alive') }) },
    errors: [],
    auth: 'none',
  },
  readiness: {
    method: 'GET',
    path: '/readyz',
    tag: 'system',
    summary: 'Can sandboxes be created',
    success: { 200: readinessSchema, 503: readinessSchema },
    errors: [],
    auth: 'none',
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    tag: 'system',
    summary: 'Metrics in the Prometheus text format',
    success: { 200: 'text' },
    errors: [],
    auth: 'key',
  },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof operations;
