import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { machineFiles } from './argv.ts';
import type { Qmp } from './qmp.ts';

const hangUpMs = 3_000;
const pollMs = 1;

/** The queue by which the guest reports on its serial ports (virtio 1.2, 5.3.2: control transmitq). */
const controlQueue = { path: '/machine/peripheral/serial/virtio-backend', queue: 3 };
const queueStatusSchema = z.object({ 'used-idx': z.int().min(0).max(0xffff) });
const chardevsSchema = z.array(z.object({ label: z.string(), 'frontend-open': z.boolean() }));

/** How many messages about its ports the guest has sent, modulo 65,536. */
async function messagesOfGuest(qmp: Qmp): Promise<number> {
  return queueStatusSchema.parse(await qmp.run('x-query-virtio-queue-status', controlQueue))['used-idx'];
}

/** Whether the guest agent holds its port open. */
async function guestHoldsPort(qmp: Qmp): Promise<boolean> {
  const devices = chardevsSchema.parse(await qmp.run('query-chardev'));
  return devices.some((device) => device.label === machineFiles.agentDevice && device['frontend-open']);
}

/**
 * Hangs up the channel to the guest agent and waits until the guest has noticed it and waits for the next connection. A
 * guest that is saved before that would be restored with half a conversation in its port, and the first handshake would
 * fail.
 *
 * The guest closes its end and opens it again, often faster than we can query twice. QEMU's events are no help: they
 * are limited to one per second, and later ones are held back (monitor/monitor.c, rate limits), so an event may belong
 * to an earlier connection. The guest's own messages are counted instead: one for the close, one for the open.
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
