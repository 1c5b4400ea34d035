import type { Egress } from '@opencomputer/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { bringEgress } from './egress.ts';
import { GuestChannel } from './channel.ts';
import { answerJson, guestSocket, honestHandshake, startGuest } from './testing/guest-agent.ts';

const settings: Egress = { digest: 'new', certificates: ['PEM'], environment: { SSL_CERT_FILE: '/bundle' } };

/** What is sent to a guest that reports settings with this digest, before its connection is used for calls. */
async function sentTo(digest: string | undefined): Promise<unknown[]> {
  const path = await guestSocket();
  const sent: unknown[] = [];
  await startGuest(
    path,
    async ({ stream, method, path: target, body }) => {
      sent.push([method, target, JSON.parse(await body())]);
      answerJson(stream, {});
    },
    async ({ stream, body }) => {
      const { epoch } = JSON.parse(await body()) as { epoch: string };
      answerJson(stream, { ...honestHandshake(epoch), ...(digest === undefined ? {} : { egress: digest }) });
    },
  );
  const channel = new GuestChannel({
    socketPath: path,
    identity: () => undefined,
    prepare: (session, agent) => bringEgress(session, agent, settings, true),
  });
  onTestFinished(() => channel.close());
  await channel.session();
  return sent;
}

test('a guest that has other settings, or none, is sent them before anything else', async () => {
  const call = ['PUT', '/v1/egress', { ...settings, wait: true }];
  expect(await sentTo('')).toEqual([call]);
  expect(await sentTo('old')).toEqual([call]);
});

test('one that has them, or knows nothing of them, is sent nothing', async () => {
  expect(await sentTo('new')).toEqual([]);
  expect(await sentTo(undefined)).toEqual([]);
});
