import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { ensureImages } from '@opencomputer/images';
import { progressPrinter } from '@opencomputer/images/progress';
import { readConfig } from '@opencomputer/standalone/config';
import type { Finding } from './finding.ts';
import { BareHost } from './floor.ts';
import { isBusy, readHostFacts } from './host.ts';
import { measureBurst } from './measures/burst.ts';
import { measureCheckpoints } from './measures/checkpoints.ts';
import type { Measurement } from './measures/context.ts';
import { measureCreate } from './measures/create.ts';
import { measureExec } from './measures/exec.ts';
import { measureFiles } from './measures/files.ts';
import { measureFork } from './measures/fork.ts';
import { measureHibernate } from './measures/hibernate.ts';
import { measureImage } from './measures/image.ts';
import { measureLive } from './measures/live.ts';
import { measureMemory } from './measures/memory.ts';
import { measurePause } from './measures/pause.ts';
import { measurePython } from './measures/python.ts';
import { measureStart } from './measures/start.ts';
import { measureStore } from './measures/store.ts';
import { type Group, groups, type Options, readOptions, usage } from './options.ts';
import { BenchPlatform } from './platform.ts';
import { allKept, render, type Report, writeReport } from './report.ts';
import { makeWorkspace, removeWorkspace } from './workspace.ts';

const measurements: Record<Group, Measurement> = {
  start: measureStart,
  create: measureCreate,
  exec: measureExec,
  python: measurePython,
  files: measureFiles,
  live: measureLive,
  memory: measureMemory,
  burst: measureBurst,
  pause: measurePause,
  hibernate: measureHibernate,
  fork: measureFork,
  checkpoints: measureCheckpoints,
  image: measureImage,
  store: measureStore,
};

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

async function commitOf(): Promise<string> {
  try {
    const git = promisify(execFile);
    const options = { cwd: import.meta.dirname };
    const { stdout: commit } = await git('git', ['rev-parse', '--short', 'HEAD'], options);
    const { stdout: changes } = await git('git', ['status', '--porcelain'], options);
    return `commit ${commit.trim()}${changes === '' ? '' : ' with changes'}`;
  } catch {
    return 'no commit';
  }
}

function refuseWhenBusy({ force }: Options, load: number, cores: number): void {
  if (!isBusy(load, cores)) return;
  const text = `this machine is busy: load ${load.toFixed(2)} on ${cores} cores`;
  if (!force) throw new Error(`${text}; wait until it is idle, or measure nevertheless with --force`);
  say(`${text}; the figures will be worse than they could be`);
}

/** Measures everything that is asked for. All that it starts is on the stack. */
async function measure(options: Options, stack: AsyncDisposableStack): Promise<Report> {
  const startedAt = new Date();
  const { cacheDir } = readConfig(process.env);
  await mkdir(cacheDir, { recursive: true });
  const host = await readHostFacts(dirname(cacheDir), cacheDir);
  refuseWhenBusy(options, loadavg()[0] ?? 0, host.cores);
  const images = await ensureImages({ cacheDir, onProgress: progressPrinter(process.stderr) });

  const workspace = await makeWorkspace(cacheDir);
  stack.defer(() => removeWorkspace(workspace.directory));
  const platform = await BenchPlatform.prepare(workspace, cacheDir, images);
  stack.defer(() => platform.stop());
  say('starting the platform');
  await platform.startWorker();
  await platform.startServer();
  say('first sandbox; its template is built now if this host has none yet');
  await (await platform.createSandbox()).kill();
  const bare = await BareHost.open(workspace, cacheDir, images);
  stack.defer(() => bare.close());

  const findings: Finding[] = [];
  const failed: Record<string, string> = {};
  for (const group of groups.filter((name) => options.only.includes(name))) {
    try {
      findings.push(...(await measurements[group]({ platform, bare, options, say })));
    } catch (error) {
      failed[group] = (error as Error).message;
      say(`${group} failed: ${(error as Error).stack}`);
    }
  }
  return {
    startedAt: startedAt.toISOString(),
    durationSeconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
    commit: await commitOf(),
    arguments: process.argv.slice(2),
    host,
    qemu: bare.qemuVersion,
    accelerator: bare.accelerator,
    failed,
    findings,
  };
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  const stack = new AsyncDisposableStack();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      say(`${signal}: removing what was started`);
      stack.disposeAsync().then(
        () => process.exit(130),
        (error: unknown) => {
          say(String(error));
          process.exit(1);
        },
      );
    });
  let report: Report;
  try {
    report = await measure(options, stack);
  } finally {
    await stack.disposeAsync();
  }
  const path = await writeReport(report);
  process.stdout.write(`\n${render(report)}\n`);
  say(`written to ${path}`);
  return options.check && !allKept(report) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  say((error as Error).message);
  process.exitCode = 1;
}
