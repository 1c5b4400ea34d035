import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureImages } from '@opencomputer/images';
import { progressPrinter } from '@opencomputer/images/progress';
import { isSameProcess, processIdentity } from '@opencomputer/worker/processes';
import { launcherFiles, readConfig } from './config.ts';
import { readPidFile } from './pid-file.ts';

/** The first start on a host probes the hardware, which takes some seconds. */
const readyMs = 120_000;

/**
 * Starts the platform in the background, unless it runs, and waits until it takes requests. With `--json` it says on
 * standard output where the platform is and which file holds its first key.
 */
async function up(): Promise<void> {
  const config = readConfig(process.env);
  const files = launcherFiles(config.dataDir);
  const url = `http://${config.address.replace(/^0\.0\.0\.0:/, '127.0.0.1:')}`;
  let running = readPidFile(files.pid);
  if (running === undefined) {
    // Here and not in the background, so that people see the progress.
    await ensureImages({ cacheDir: config.cacheDir, onProgress: progressPrinter(process.stderr) });
    await mkdir(config.dataDir, { recursive: true, mode: 0o755 });
    const log = openSync(files.log, 'a', 0o640);
    const child = spawn(process.execPath, [new URL('main.ts', import.meta.url).pathname], {
      detached: true,
      stdio: ['ignore', log, log],
    });
    child.unref();
    running = child.pid === undefined ? undefined : processIdentity(child.pid);
    process.stderr.write(`starting the platform; its log is ${files.log}\n`);
  }
  const end = Date.now() + readyMs;
  while (!(await isReady(url))) {
    if (running === undefined || !isSameProcess(running))
      throw new Error(`it ended at once:\n${await lastLines(files.log)}`);
    if (Date.now() >= end)
      throw new Error(`it is not ready after ${readyMs / 1000} s:\n${await lastLines(files.log)}`);
    await delay(100);
  }
  process.stderr.write(`the platform runs at ${url}\n`);
  if (process.argv.includes('--json'))
    process.stdout.write(`${JSON.stringify({ url, apiKeyFile: files.apiKey })}\n`);
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch (error) {
    // Refused or cut off: the platform is not ready yet.
    if (error instanceof TypeError || (error as Error).name === 'TimeoutError') return false;
    throw error;
  }
}

async function lastLines(file: string): Promise<string> {
  return (await readFile(file, 'utf8')).trim().split('\n').slice(-15).join('\n');
}

try {
  await up();
} catch (error) {
  process.stderr.write(`opencomputer: ${(error as Error).message}\n`);
  process.exit(1);
}
