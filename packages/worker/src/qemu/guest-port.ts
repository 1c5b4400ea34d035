import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { machineFiles } from './argv.ts';
import type { Qmp } from './qmp.ts';

const hangUpMs = 3_000;
const pollMs = 1;

/** The guest tells of its serial ports by this queue (virtio 1.2, 5.3.2: control transmitq). */
const controlQueue = { path: '/machine/peripheral/serial/virtio-backend', queue: 3 };
const queueStatusSchema = z.object({ 'used-idx': z.int().min(0).max(0xffff) });
const chardevsSchema = z.array(z.object({ label: z.string(), 'frontend-open': z.boolean() }));

/** How many messages about its ports the guest has sent, modulo 65,536. */
async function messagesOfGuest(qmp: Qmp): Promise<number> {
  return queueStatusSchema.parse(await qmp.run('x-query-virtio-queue-status', controlQueue))['used-idx'];
}

/** Whether the guest holds the agent port open. */
async function guestHoldsPort(qmp: Qmp): Promise<boolean> {
  const devices = chardevsSchema.parse(await qmp.run('query-chardev'));
  return devices.some((device) => device.label === machineFiles.agentDevice && device['frontend-open']);
}

/**
 * Hangs up the agent channel and waits until the guest has seen it and waits for the next call. A guest frozen
 * before that would wake with half a conversation in its port, and cost the next caller a try.
 *
 * The guest closes its end and opens it again, often faster than one can look twice. QEMU's events of it say nothing
 * in time: it lets one through in a second and holds the next back (monitor/monitor.c, rate limits), so one that
 * arrives may be of an earlier call. The guest's own messages are counted instead: one for each of the two.
 * @param hangUp closes our end
 * @throws Error when the guest did not react in time
 */
export async function hangUpAndWait(qmp: Qmp, hangUp: () => void): Promise<void> {
  const before = await messagesOfGuest(qmp);
  const end = Date.now() + hangUpMs;
  hangUp();
  for (;;) {
    const sent = ((await messagesOfGuest(qmp)) - before) & 0xffff;
    if (sent >= 2 && (await guestHoldsPort(qmp))) return;
    if (Date.now() >= end) throw new Error('the guest did not see the channel end');
    await delay(pollMs);
  }
}
