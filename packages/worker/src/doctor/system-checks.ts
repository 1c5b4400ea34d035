import { open, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { errorText, systemErrorCode } from '../host/errors.ts';
import { probePageMap } from '../host/page-map.ts';
import type { CheckDefinition, CheckResult, DoctorConfig } from './checks.ts';

const cgroup2Magic = 0x63677270;

/** This program did not exist before this time. */
const earliestTime = Date.UTC(2026, 0, 1);
const latestTime = Date.UTC(2100, 0, 1);
const clockToleranceMs = 5 * 60_000;

const user: CheckDefinition = {
  id: 'user',
  title: 'User',
  run: () => {
    if (process.getuid?.() === 0) return { status: 'ok', found: 'root' };
    return {
      status: 'warn',
      found: `${userInfo().username}, not root`,
      why: 'Machines run as this user instead of one of their own each, and the network is user-mode: slower, and with a weaker policy.',
      fix: 'Run the platform as root where many people share it.',
    };
  },
};

const listen: CheckDefinition = {
  id: 'listen',
  title: 'Listen address',
  run: async ({ listen: address }) => {
    const name = `${address.host}:${address.port}`;
    const problem = await bindProblem(address);
    if (problem === undefined) return { status: 'ok', found: `${name} is free` };
    switch (systemErrorCode(problem)) {
      case 'EADDRINUSE':
        return {
          status: 'warn',
          found: `${name} is in use`,
          why: 'If the platform runs already, all is well; if another program has it, the server cannot start.',
          fix: 'End that program, or set OPENCOMPUTER_LISTEN to another port.',
        };
      case 'EACCES':
        return {
          status: 'fail',
          found: `this user may not listen on ${name}`,
          fix: 'Set OPENCOMPUTER_LISTEN to a port above 1023.',
        };
      case undefined:
      default:
        return {
          status: 'fail',
          found: `cannot listen on ${name}: ${errorText(problem)}`,
          fix: 'Set OPENCOMPUTER_LISTEN to an address of this host, such as 127.0.0.1:8080.',
        };
    }
  },
};

function bindProblem({ host, port }: DoctorConfig['listen']): Promise<unknown> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

const clock: CheckDefinition = {
  id: 'clock',
  title: 'Clock',
  run: async ({ dataDirectory }) => {
    const data = await stat(dataDirectory).catch(() => undefined);
    return judgeClock(Date.now(), data?.mtimeMs);
  },
};

/** `lastWriteMs` is when the data directory was last changed, if it exists. */
export function judgeClock(nowMs: number, lastWriteMs: number | undefined): CheckResult {
  const found = new Date(nowMs).toISOString();
  const fix = "Set the host's clock (timedatectl set-ntp true).";
  if (nowMs < earliestTime || nowMs > latestTime) {
    return {
      status: 'fail',
      found,
      why: 'This cannot be: guests take the time from the host, and TLS fails.',
      fix,
    };
  }
  if (lastWriteMs !== undefined && lastWriteMs > nowMs + clockToleranceMs) {
    const written = new Date(lastWriteMs).toISOString();
    return { status: 'warn', found, why: `The data directory was written later, at ${written}.`, fix };
  }
  return { status: 'ok', found };
}

const cgroups: CheckDefinition = {
  id: 'cgroups',
  title: 'Control groups',
  run: async () => {
    const root = await statfs('/sys/fs/cgroup').catch(() => undefined);
    if (root?.type === cgroup2Magic) return { status: 'ok', found: 'version 2' };
    return {
      status: 'warn',
      found: root === undefined ? 'none' : 'version 1 or mixed',
      why: "Limits on what a machine's process takes of the host need version 2.",
      fix: 'Boot the host with systemd.unified_cgroup_hierarchy=1.',
    };
  },
};

const tun: CheckDefinition = {
  id: 'tun',
  title: '/dev/net/tun',
  run: async () => {
    try {
      await (await open('/dev/net/tun', 'r+')).close();
      return { status: 'ok', found: 'usable' };
    } catch (error) {
      return {
        status: 'warn',
        found: `not usable: ${errorText(error)}`,
        why: "Machines' network then goes through user-mode networking, which is slower and has a weaker policy.",
        fix: 'Load the module (modprobe tun); in a container, pass the device in.',
      };
    }
  },
};

const pageMap: CheckDefinition = {
  id: 'page-map',
  title: 'Page map',
  run: async () => {
    const problem = await probePageMap();
    if (problem === undefined) return { status: 'ok', found: "readable for this user's own processes" };
    return {
      status: 'warn',
      found: problem,
      why: "A machine's changed memory is found through /proc/PID/pagemap and read through /proc/PID/mem: without them nothing that runs can be saved.",
      fix: 'Check kernel.yama.ptrace_scope (at most 1), how /proc is mounted, and the limits of the container.',
    };
  },
};

/** User, network and kernel. */
export const systemChecks: readonly CheckDefinition[] = [user, listen, clock, cgroups, tun, pageMap];
