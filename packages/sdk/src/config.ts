import { checkOptions } from './check-options.ts';
import { invalidOption } from './invalid-option.ts';
import { optionNames } from './option-names.ts';
import type { ReconnectOptions } from './connection/reconnect.ts';
import type { WebSocketFactory } from './connection/socket.ts';

/** The address of a server with default settings. */
export const defaultApiUrl = 'http://127.0.0.1:8080';

/** Limits of one call. Every method takes them. */
export interface RequestOptions {
  /** Ends the call early; it then rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds that an attempt of the call may take; 0 means no limit.
   * For transfers of files it is the longest pause without progress.
   * Default 60,000; for `Sandbox.create` 300,000.
   */
  requestTimeoutMs?: number | undefined;
}

/** Which server to talk to, and as whom. */
export interface ConnectionOptions extends RequestOptions {
  /** API key. Default: the environment variable `OPENCOMPUTER_API_KEY`; without either no key is sent. */
  apiKey?: string | undefined;
  /**
   * Address of the server, with or without `/api` at its end.
   * Default: the environment variable `OPENCOMPUTER_API_URL`, else `http://127.0.0.1:8080`.
   */
  apiUrl?: string | undefined;
  /**
   * Opens WebSockets for sessions and terminals. Default: the global `WebSocket`, else the package `ws`. With the one
   * of `ws`, a command waits for the loop that iterates its session, however much it prints.
   */
  webSocket?: WebSocketFactory | undefined;
  /** How sessions reconnect after a lost connection; false: not at all. */
  reconnect?: ReconnectOptions | false | undefined;
}

/** Settings after defaults. */
export interface Connection {
  /** Ends in `/api`. */
  readonly apiUrl: string;
  /** Empty when there is none. */
  readonly apiKey: string;
  readonly requestTimeoutMs: number | undefined;
  readonly webSocket?: WebSocketFactory | undefined;
  readonly reconnect?: ReconnectOptions | false | undefined;
}

/** @throws InvalidRequestError when the URL or the key cannot be used. */
export function resolveConnection(options: ConnectionOptions): Connection {
  return {
    apiUrl: resolveApiUrl(options.apiUrl ?? (environment('OPENCOMPUTER_API_URL') || defaultApiUrl)),
    apiKey: resolveApiKey(options.apiKey ?? environment('OPENCOMPUTER_API_KEY')),
    requestTimeoutMs: options.requestTimeoutMs,
    webSocket: options.webSocket,
    reconnect: options.reconnect,
  };
}

function environment(name: string): string {
  // Browsers have no process.
  return globalThis.process?.env?.[name]?.trim() ?? '';
}

function resolveApiUrl(text: string): string {
  const trimmed = text.trim().replace(/\/+$/, '');
  const url = URL.canParse(trimmed) ? new URL(trimmed) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw invalidOption(
      `apiUrl is not an http or https URL: ${JSON.stringify(text)}`,
      `Give one such as ${defaultApiUrl}, as apiUrl or in OPENCOMPUTER_API_URL.`,
    );
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw invalidOption(
      'apiUrl must not hold a user, a password, a query or a fragment',
      'Give only scheme, host, port and path; the key goes into apiKey.',
    );
  return trimmed.endsWith('/api') ? trimmed : `${trimmed}/api`;
}

function resolveApiKey(text: string): string {
  const key = text.trim();
  // The key is a secret, so the message does not contain it.
  if (!/^[\x21-\x7e]*$/.test(key))
    throw invalidOption(
      'apiKey holds white space or characters that a header cannot carry',
      'Copy the key again; it is one word that begins with osb_.',
    );
  return key;
}

/** Checks the options of a method that takes only the limits of a call. */
export function requestOptions(method: string, options: RequestOptions): RequestOptions {
  return checkOptions(method, options, optionNames.request);
}
