import { request } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface SocketCall {
  json?: unknown;
  body?: Uint8Array | Readable;
  withinMs?: number;
}

/** An answer on a unix socket, read whole. */
export interface SocketAnswer {
  status: number;
  bytes: Buffer;
  text: string;
  /** The body as JSON; an empty object where it is none. */
  body: unknown;
}

/** One HTTP request on a unix socket. @throws Error when the connection broke before the whole answer was there */
export async function socketCall(
  socketPath: string,
  method: string,
  path: string,
  call: SocketCall = {},
): Promise<SocketAnswer> {
  const json = call.json === undefined ? undefined : Buffer.from(JSON.stringify(call.json));
  const body = json ?? call.body;
  const outgoing = request({
    socketPath,
    method,
    path,
    agent: false,
    signal: AbortSignal.timeout(call.withinMs ?? 300_000),
    headers: {
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...(body instanceof Uint8Array ? { 'content-length': body.byteLength } : {}),
    },
  });
  const answered = new Promise<Omit<SocketAnswer, 'text' | 'body'>>((resolve, reject) => {
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('close', () => {
        if (response.complete) resolve({ status: response.statusCode ?? 0, bytes: Buffer.concat(parts) });
        else reject(new Error(`the answer to ${method} ${path} was cut off`));
      });
    });
  });
  if (body instanceof Readable) {
    // A refusal may come before the end of the body; then the answer counts.
    pipeline(body, outgoing).catch((error: unknown) => outgoing.destroy(error as Error));
  } else outgoing.end(body);
  const { status, bytes } = await answered;
  const text = bytes.toString('utf8');
  return { status, bytes, text, body: parse(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
