import { OpenComputerError } from '../errors.ts';

/** The part of a WebSocket that this package uses. The global one has it, and that of the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  /** Bytes that are queued and not sent to the network yet. */
  readonly bufferedAmount: number;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  addEventListener(type: 'open' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void;
  /** Stops reading, so that the server has to wait. The global WebSocket cannot. */
  pause?(): void;
  resume?(): void;
}

/**
 * Opens a WebSocket that sends the headers.
 *
 * @example
 * import { WebSocket } from 'ws';
 * const webSocket: WebSocketFactory = (url, options) => new WebSocket(url, options);
 */
export type WebSocketFactory = (url: string, options: { headers: Record<string, string> }) => WebSocketLike;

/** How sockets are opened in this runtime. */
export interface WebSocketKind {
  readonly create: WebSocketFactory;
  /** False where credentials have to be part of the URL. */
  readonly sendsHeaders: boolean;
}

type WebSocketClass = new (url: string, options?: { headers: Record<string, string> }) => WebSocketLike;

/**
 * Chooses the implementation: the caller's, else the global one, else the package `ws`.
 *
 * @throws OpenComputerError `websocket_missing` when there is none
 */
export async function webSocketKind(configured: WebSocketFactory | undefined): Promise<WebSocketKind> {
  if (configured !== undefined) return { create: configured, sendsHeaders: true };
  const Global = (globalThis as { WebSocket?: unknown }).WebSocket as WebSocketClass | undefined;
  if (Global === undefined) {
    const Installed = await installedClass();
    return { create: (url, options) => new Installed(url, options), sendsHeaders: true };
  }
  // The one of Node takes headers; the one of browsers takes a list of protocols in the same place.
  if (globalThis.process?.versions?.['undici'] !== undefined)
    return { create: (url, options) => new Global(url, options), sendsHeaders: true };
  return { create: (url) => new Global(url), sendsHeaders: false };
}

async function installedClass(): Promise<WebSocketClass> {
  // Not a literal, so that bundlers for browsers don't look for it.
  const name = 'ws';
  try {
    const module = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as {
      WebSocket: WebSocketClass;
    };
    return module.WebSocket;
  } catch (cause) {
    throw new OpenComputerError('this runtime has no WebSocket, and the package ws is not installed', {
      code: 'websocket_missing',
      hint: 'Run npm install ws, or use Node 22 or newer.',
      cause,
    });
  }
}

/** The bytes of a message; undefined for text, which a server of this protocol never sends. */
export function messageBytes(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return data instanceof Uint8Array ? data : undefined;
}
