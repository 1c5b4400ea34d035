import { guestPaths, type GuestStats, guestStatsSchema } from '@opencomputer/protocol';
import { z } from 'zod';
import type { GuestChannel } from './channel.ts';
import { callJson } from './request.ts';

/** The state of the guest: memory, disk, load. */
export async function guestStats(channel: GuestChannel): Promise<GuestStats> {
  return callJson(await channel.session(), 'GET', guestPaths.stats, guestStatsSchema, { deadlineMs: 10_000 });
}

/** Quiesces the guest before a snapshot; its guest agent takes no calls until the next handshake. */
export async function quiesceGuest(channel: GuestChannel, options: { sync: boolean }): Promise<void> {
  await callJson(await channel.session(), 'POST', guestPaths.quiesce, z.object({}), {
    body: options,
    deadlineMs: 60_000,
  });
}
