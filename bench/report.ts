import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Finding } from './finding.ts';
import type { HostFacts } from './host.ts';
import type { Summary } from './statistics.ts';

/** Everything that one run of the benchmark found. */
export interface Report {
  startedAt: string;
  durationSeconds: number;
  commit: string;
  arguments: string[];
  host: HostFacts;
  qemu: string;
  accelerator: string;
  /** Measures that could not be taken, and why. */
  failed: Record<string, string>;
  findings: Finding[];
}

const nameWidth = 54;
const cellWidth = 19;

function figure(value: number): string {
  return value.toFixed(Math.abs(value) >= 100 ? 0 : 1);
}

function cell(summary: Summary | undefined): string {
  if (summary === undefined) return ''.padStart(cellWidth);
  const { count, median, p95 } = summary;
  return (count === 1 ? figure(median) : `${figure(median)} / ${figure(p95)}`).padStart(cellWidth);
}

function parts(title: string, values: Record<string, number>): string {
  const text = Object.entries(values).map(([name, value]) => `${name} ${figure(value)}`);
  return `    ${title}: ${text.join(', ')}`;
}

/** The lines that people read of one measure. */
export function describe(finding: Finding): string[] {
  const { name, unit, ours, floor, verdict, notes } = finding;
  const judged =
    verdict === undefined
      ? ''
      : `  ${verdict.kept ? 'kept  ' : 'BROKEN'}  ${verdict.promise}: ${verdict.outcome}`;
  const lines = [`${`${name} (${unit})`.padEnd(nameWidth)}${cell(ours)}${cell(floor)}${judged}`.trimEnd()];
  if (finding.parts !== undefined) {
    lines.push(parts('parts of ours', finding.parts.ours));
    if (finding.parts.floor !== undefined) lines.push(parts('parts of the floor', finding.parts.floor));
  }
  for (const [note, value] of Object.entries(notes ?? {})) lines.push(`    ${note}: ${value}`);
  return lines;
}

/** The whole report as text. */
export function render({ host, qemu, accelerator, findings, failed, ...run }: Report): string {
  const head = [
    `${host.cpu}, ${host.cores} cores, ${host.memoryMB} MB, Linux ${host.kernel}, load ${host.loadAtStart.toFixed(2)}`,
    `QEMU ${qemu}, ${accelerator}`,
    `${host.fileSystem}, ${host.reflink ? 'copies share blocks' : 'no shared copies'}; Node ${host.node}; ${run.commit}; ${run.durationSeconds} s`,
    '',
    `${'median / p95'.padEnd(nameWidth)}${'ours'.padStart(cellWidth)}${'floor'.padStart(cellWidth)}`,
  ];
  const failures = Object.entries(failed).map(([group, why]) => `FAILED ${group}: ${why}`);
  return [...head, ...findings.flatMap(describe), ...failures, ''].join('\n');
}

/** True when every promise that was measured is kept, and everything could be measured. */
export function allKept({ findings, failed }: Pick<Report, 'findings' | 'failed'>): boolean {
  return Object.keys(failed).length === 0 && findings.every(({ verdict }) => verdict?.kept !== false);
}

/** Writes the report as JSON. @returns its path */
export async function writeReport(report: Report): Promise<string> {
  const directory = join(import.meta.dirname, 'results');
  await mkdir(directory, { recursive: true });
  const path = join(directory, `${report.startedAt.replaceAll(/[:.]/g, '-')}.json`);
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`);
  return path;
}
