import { expect } from 'vitest';

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '')
    throw new Error(`${name} is not set: the conformance tests run against a live server that it names`);
  return value;
}

export const apiUrl = required('OPENCOMPUTER_API_URL')
  .replace(/\/+$/, '')
  .replace(/\/api$/, '');
export const apiKey = required('OPENCOMPUTER_API_KEY');
/** Key of another tenant; scenarios about tenants are skipped without. */
export const secondKey = process.env['OPENCOMPUTER_SECOND_API_KEY'] ?? '';

/** A sandbox as the wire has it, as far as the scenarios look. */
export interface WireSandbox {
  sandboxID: string;
  status: string;
  templateID: string;
  cpuCount: number;
  memoryMB: number;
  metadata: Record<string, string>;
  timeout: number;
  startedAt: string;
  endAt: string;
  patchError?: string;
}

/** A request without any client; `key` undefined sends none. */
export async function request(
  method: string,
  path: string,
  options: { json?: unknown; key?: string | undefined; body?: string } = {},
): Promise<Response> {
  const headers: Record<string, string> = {};
  const key = 'key' in options ? options.key : apiKey;
  if (key !== undefined) headers['X-API-Key'] = key;
  if (options.json !== undefined) headers['Content-Type'] = 'application/json';
  const body = options.json === undefined ? options.body : JSON.stringify(options.json);
  return fetch(`${apiUrl}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
}

export async function getSandbox(sandboxId: string): Promise<WireSandbox> {
  const response = await request('GET', `/api/sandboxes/${sandboxId}`);
  expect(response.status).toBe(200);
  return (await response.json()) as WireSandbox;
}

/** The HTTP status that a client's error stands for, also where it refuses what the server would. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('status' in error && typeof error.status === 'number') return error.status;
  if (error.name === 'InvalidRequestError') return 400;
  const found = /: (\d{3})(?:\s|$)/.exec(error.message)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Expects a call to fail with an answer of this status; returns the error. */
export async function failure(call: Promise<unknown>, status: number): Promise<Error> {
  const outcome = await call.then(
    (value) => expect.fail(`succeeded with ${JSON.stringify(value)} where ${status} was expected`),
    (error: unknown) => error as Error,
  );
  expect(statusOf(outcome), outcome.message).toBe(status);
  return outcome;
}
