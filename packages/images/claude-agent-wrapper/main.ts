// Runs in a sandbox: JSON lines on stdin tell it what to do, JSON lines on stdout tell what an agent does.
import { createWriteStream } from 'node:fs';
import { type AgentSdk, claude } from './claude.ts';
import { Conversation } from './conversation.ts';
import { diagnosticWriter } from './diagnostics.ts';
import { eventWriter } from './events.ts';
import { readLines } from './lines.ts';

const maxInputLine = 8 * 1024 * 1024;
const maxOutputLine = 8 * 1024 * 1024;

// Not process.stdout: on a pipe that blocks the whole process, and an interrupt would not be read.
const output = createWriteStream('', { fd: 1 });
const errors = createWriteStream('', { fd: 2 });
const emit = eventWriter(output, maxOutputLine);
const diagnose = diagnosticWriter(errors);

async function exit(code: number): Promise<never> {
  await Promise.all([output, errors].map((stream) => new Promise((resolve) => stream.end(resolve))));
  process.exit(code);
}

/** The SDK is loaded while the client is still writing its first prompt. */
function loadSdk(): Promise<AgentSdk> {
  const name = '@anthropic-ai/claude-agent-sdk';
  const sdk = import(name) as Promise<AgentSdk>;
  sdk.catch((error: unknown) => diagnose(`no turn can run: ${String(error)}`));
  return sdk;
}

// A reader that is gone: there is nobody to tell.
output.on('error', () => process.exit(1));
errors.on('error', () => process.exit(1));

if ((process.env['ANTHROPIC_API_KEY'] ?? '') === '') {
  await emit({ type: 'error', message: 'ANTHROPIC_API_KEY environment variable is not set' });
  await exit(1);
}

const conversation = new Conversation({ emit, diagnose, run: claude(loadSdk(), diagnose) });
const signals = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const;
for (const [signal, code] of Object.entries(signals)) {
  process.once(signal, () => void conversation.stop().then(() => exit(code)));
}

await emit({ type: 'ready' });
try {
  await conversation.take(readLines(process.stdin, maxInputLine));
  await exit(0);
} catch (error) {
  diagnose(`ending: ${String(error)}`);
  await exit(1);
}
