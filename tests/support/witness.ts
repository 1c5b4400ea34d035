import { eventually } from '@opencomputer/testing/eventually';
import type { TestMachine } from './test-machine.ts';

/**
 * Runs in a guest as two processes with a TCP connection between them. The one sends a growing number, the other sends
 * it back. Each number that came back is put on tmpfs, and every tenth is appended to a file on disk and synced there
 * before it is told. Whatever goes wrong is told too.
 */
const program = `
import os, socket, time, traceback

def put(name, text):
    with open('/dev/shm/.' + name, 'w') as f:
        f.write(text + '\\n')
    os.rename('/dev/shm/.' + name, '/dev/shm/' + name)

listener = socket.create_server(('127.0.0.1', 0))
if os.fork() == 0:
    peer, _ = listener.accept()
    while True:
        data = peer.recv(64)
        if not data:
            os._exit(1)
        peer.sendall(data)
try:
    link = socket.create_connection(listener.getsockname())
    link.settimeout(60)
    log = open('/var/lib/witness.log', 'a')
    number = 0
    while True:
        number += 1
        line = b'%d\\n' % number
        link.sendall(line)
        got = b''
        while not got.endswith(b'\\n'):
            part = link.recv(64)
            if not part:
                raise Exception('the connection ended')
            got += part
        if got != line:
            raise Exception('sent %r, got %r' % (line, got))
        put('count', str(number))
        if number % 10 == 0:
            log.write('%d\\n' % number)
            log.flush()
            os.fsync(log.fileno())
            put('synced', str(number))
        # Real time: its pace.
        time.sleep(0.02)
except BaseException:
    put('broken', traceback.format_exc())
    raise
`;

/** What a witness has done so far. */
export interface Testimony {
  /** Numbers that went over the connection and back. */
  count: number;
  /** The last number that is on disk for certain. */
  synced: number;
}

/** Starts a witness in a machine. */
export async function startWitness(machine: TestMachine): Promise<void> {
  await machine.write('/root/witness.py', Buffer.from(program));
  await machine.output(
    'rm -f /var/lib/witness.log; setsid python3 /root/witness.py >/root/witness.out 2>&1 </dev/null &',
  );
  await eventually('the witness counts', () => testimony(machine));
}

/** Asks the witness. @throws Error when it saw something wrong, or this memory has none */
export async function testimony(machine: TestMachine): Promise<Testimony> {
  const text = await machine.output('cd /dev/shm && cat broken 2>/dev/null; cat count synced');
  const [count = NaN, synced = NaN, more] = text.split('\n').map(Number);
  if (!(count > 0 && synced > 0 && more === undefined)) throw new Error(`the witness is broken: ${text}`);
  return { count, synced };
}

/** Waits until the witness has gone on after `before`, and checks that its file on disk has every number up to there. */
export async function goesOn(machine: TestMachine, before: Testimony): Promise<Testimony> {
  const after = await eventually('the witness goes on', async () => {
    const now = await testimony(machine);
    return now.count > before.count && now.synced >= before.synced ? now : undefined;
  });
  await checkLog(machine, before.synced);
  return after;
}

/** Checks that the file on disk has every tenth number, in order, without a gap, at least to `synced`. */
export async function checkLog(machine: TestMachine, synced: number): Promise<void> {
  const last = Number(
    await machine.output(
      `awk '$1 != NR * 10 || NF != 1 { print "line " NR " is " $0 > "/dev/stderr"; exit 1 } END { print $1 }' /var/lib/witness.log`,
    ),
  );
  if (!(last >= synced)) throw new Error(`the disk ends at ${last}, but ${synced} had been synced`);
}
