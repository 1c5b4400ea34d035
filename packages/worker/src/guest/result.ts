import type { ClientHttp2Session } from 'node:http2';
import { setImmediate as othersTurn } from 'node:timers/promises';
import {
  ApiError,
  type GuestExecResult,
  guestExecResultBytes,
  guestExecResultSchema,
} from '@opencomputer/protocol';
import { type AnswerBounds, callBytes, parseAnswer } from './request.ts';

/** Most bytes of a result without its output. */
const stateBytes = 4 * 1024;
/** How much output is checked in one turn of the event loop. */
const turnBytes = 256 * 1024;

const stateSchema = guestExecResultSchema.omit({ stdout: true, stderr: true });
const beforeStdout = ',"stdout":"';
const beforeStderr = '","stderr":"';

/** The parts of a result in the form in which every guest agent writes it; undefined for any other form. */
function cutOutput(raw: Buffer): { state: Buffer; stdout: Buffer; stderr: Buffer } | undefined {
  const start = raw.subarray(0, stateBytes).indexOf(beforeStdout);
  if (start === -1) return undefined;
  const stdout = start + beforeStdout.length;
  const stdoutEnd = raw.indexOf('"', stdout);
  const stderr = stdoutEnd + beforeStderr.length;
  if (stdoutEnd === -1 || raw.toString('latin1', stdoutEnd, stderr) !== beforeStderr) return undefined;
  const stderrEnd = raw.indexOf('"', stderr);
  if (stderrEnd === -1) return undefined;
  return {
    state: Buffer.concat([raw.subarray(0, start), raw.subarray(stderrEnd + 1)]),
    stdout: raw.subarray(stdout, stdoutEnd),
    stderr: raw.subarray(stderr, stderrEnd),
  };
}

/** Base64 as text, checked piece by piece. @throws ApiError `guest_failed` */
async function checkedBase64(bytes: Buffer): Promise<string> {
  const text = bytes.toString('latin1');
  let wrong = text.length % 4 !== 0;
  const padding = /={0,2}$/.exec(text.slice(-2))?.[0].length ?? 0;
  for (let at = 0; at < text.length - padding && !wrong; at += turnBytes) {
    wrong = !/^[A-Za-z0-9+/]*$/.test(text.slice(at, Math.min(at + turnBytes, text.length - padding)));
    if (at > 0) await othersTurn();
  }
  if (wrong) throw new ApiError('guest_failed', 'the output of a command that the guest sent is not base64');
  return text;
}

/**
 * A call that the guest agent answers with the result of a command. The output, which may be megabytes, is cut out
 * before the rest is parsed as JSON.
 * @throws ApiError as the guest agent refuses it, `guest_failed` for an answer that is wrong, `guest_timeout`
 */
export async function callResult(
  session: ClientHttp2Session,
  method: string,
  path: string,
  bounds: Omit<AnswerBounds, 'answerBytes' | 'json'>,
): Promise<GuestExecResult> {
  const raw = await callBytes(session, method, path, { ...bounds, answerBytes: guestExecResultBytes });
  const cut = cutOutput(raw);
  const state = cut?.state ?? raw;
  if (state.length > stateBytes)
    throw new ApiError('guest_failed', `a result of the guest has ${state.length} bytes besides its output`);
  if (cut === undefined) return parseAnswer(state, guestExecResultSchema, path);
  const parsed = parseAnswer(state, stateSchema, path);
  const stdout = await checkedBase64(cut.stdout);
  return { ...parsed, stdout, stderr: await checkedBase64(cut.stderr) };
}
