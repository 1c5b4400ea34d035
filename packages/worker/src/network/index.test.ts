import { expect, test } from 'vitest';
import { isMachineUser, serverUid } from '../host/uids.ts';
import { quiet } from '../testing/log.ts';
import { openNetwork } from './index.ts';

test('a slot has a user by which the worker knows machines, and not the one of the server', async () => {
  const network = await openNetwork({
    instanceTag: '00000000',
    stateDir: '/nonexistent',
    warm: 0,
    log: quiet,
    mode: 'user',
  });
  const { uid } = await network.claim();
  expect(isMachineUser(uid)).toBe(true);
  expect(uid).not.toBe(serverUid);
  if (process.getuid?.() === 0) expect(isMachineUser(serverUid)).toBe(false);
});
