import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { guestPaths } from '@opencomputer/protocol';
import {
  answerJson,
  type FakeGuest,
  type GuestHandler,
  startGuest,
} from '../../../guest/testing/guest-agent.ts';
import { machineFiles } from '../../../qemu/argv.ts';
import { QmpTimeout } from '../../../qemu/qmp.ts';
import type { Machine } from '../../machine.ts';

/** Commands that only look, and are left out of traces. */
const looks = /^(query-|x-query-)/;

/**
 * The guest agents of machines whose guest only counts. Each machine is started with the socket of this double in the
 * place of its port's.
 */
export class GuestPort {
  /** Starts QEMU as the jailer does. */
  readonly jailer: string;
  /** Called for each call but handshakes. */
  onCall: (call: string) => void = () => undefined;
  /** Answers a call. By default the guest comes to rest when it is asked to, and knows no other call. */
  answer: GuestHandler = ({ stream, path }) => {
    if (path === guestPaths.quiesce) answerJson(stream, {});
    else answerJson(stream, { code: 'not_found', message: 'no such call' }, 404);
  };
  /** A command that QEMU does not answer in time. */
  late: string | undefined;
  #guest: FakeGuest | undefined;

  private constructor(jailer: string) {
    this.jailer = jailer;
  }

  static async open(directory: string, jailer: string): Promise<GuestPort> {
    const socket = join(directory, 'guest.sock');
    const port = new GuestPort(join(directory, 'jailer'));
    port.#guest = await startGuest(socket, async (call) => {
      port.onCall(`${call.method} ${call.path}`);
      await port.answer(call);
    });
    await writeFile(port.jailer, wrapper(jailer, socket));
    await chmod(port.jailer, 0o755);
    return port;
  }

  get guest(): FakeGuest {
    if (this.#guest === undefined) throw new Error('the port is not open');
    return this.#guest;
  }

  /**
   * Notes the commands that a machine's QEMU gets, and answers its questions about the guest's end of the port, which the
   * counter does not drive: whenever the host hangs up, a guest agent closes its port and opens it again.
   */
  attach({ qmp }: Machine, trace: string[]): void {
    const run = qmp.run.bind(qmp);
    qmp.run = async (execute, args, deadlineMs) => {
      if (!looks.test(execute)) trace.push(execute);
      if (execute === this.late) throw new QmpTimeout(`QEMU did not answer ${execute}`);
      const { connections, sessions } = this.guest;
      if (execute === 'x-query-virtio-queue-status') return { 'used-idx': 2 * (connections - sessions.size) };
      if (execute === 'query-chardev')
        return [{ label: machineFiles.agentDevice, 'frontend-open': true, filename: 'unix' }];
      return run(execute, args, deadlineMs);
    };
  }
}

/** A program that is called as the jailer is. The jailer makes QEMU's end of the port under another name. */
function wrapper(jailer: string, socket: string): string {
  const { agent } = machineFiles;
  return `#!/bin/sh
for argument; do
  shift
  case $argument in
    -listen=*) argument=\${argument%${agent}:*}unused.sock:\${argument##*:} ;;
  esac
  set -- "$@" "$argument"
done
ln -f '${socket}' ${agent} && exec '${jailer}' "$@"
`;
}
