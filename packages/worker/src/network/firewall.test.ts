import { beforeEach, describe, expect, test } from 'vitest';
import { closeFirewall, openFirewall } from './firewall.ts';
import { run } from './run.ts';
import { needsRoot } from './testing/lab.ts';

const passage = { bridge: 'oc0badcafe', gateway: '10.213.4.1', dnsPort: 53 };

const rules = async (): Promise<string[]> =>
  (await run(['iptables-nft', '-S'])).stdout.split('\n').filter((line) => line.startsWith('-A'));

const hasFilter = async (): Promise<boolean> =>
  (await run(['nft', 'list', 'table', 'ip', 'filter'], { accept: [0, 1] })).code === 0;

describe.skipIf(needsRoot)('a firewall of the host’s own', () => {
  beforeEach(() => run(['nft', 'flush', 'ruleset']));

  test('is not made where there is none', async () => {
    await openFirewall(passage);
    expect(await hasFilter()).toBe(false);
    await closeFirewall(passage.bridge);
    expect(await hasFilter()).toBe(false);
  });

  test('gets one set of accepting rules, before its own, and loses them again', async () => {
    await run(['iptables-nft', '-P', 'FORWARD', 'DROP']);
    await run(['iptables-nft', '-A', 'FORWARD', '-s', '203.0.113.77', '-j', 'REJECT']);
    const before = await rules();
    await openFirewall(passage);
    await openFirewall(passage);
    const ours = (await rules()).filter((line) => line.includes(passage.bridge));
    expect(ours).toHaveLength(4);
    const forward = (await rules()).filter((line) => line.startsWith('-A FORWARD'));
    expect(forward.findIndex((line) => line.includes('203.0.113.77'))).toBe(2);
    await openFirewall({ ...passage, dnsPort: 5300 });
    expect((await rules()).filter((line) => line.includes('--dport 53 '))).toEqual([]);
    await closeFirewall(passage.bridge);
    expect(await rules()).toEqual(before);
  });

  test('keeps the rules of another instance', async () => {
    const neighbour = { bridge: 'oc0decaf00', gateway: '10.213.8.1', dnsPort: 53 };
    await run(['iptables-nft', '-P', 'FORWARD', 'DROP']);
    await openFirewall(neighbour);
    const before = await rules();
    expect(before).toHaveLength(4);
    await openFirewall(passage);
    await closeFirewall(passage.bridge);
    expect(await rules()).toEqual(before);
  });

  test('is opened in Docker’s own chain for users where there is one', async () => {
    await run(['iptables-nft', '-N', 'DOCKER-USER']);
    await run(['iptables-nft', '-A', 'FORWARD', '-j', 'DOCKER-USER']);
    await openFirewall(passage);
    const ours = (await rules()).filter((line) => line.includes(passage.bridge));
    expect(ours.filter((line) => line.startsWith('-A DOCKER-USER'))).toHaveLength(2);
    await closeFirewall(passage.bridge);
    expect(await rules()).toEqual(['-A FORWARD -j DOCKER-USER']);
  });

  test('of another kind that drops by default is named', async () => {
    await run(['nft', '-f', '-'], {
      input:
        'table inet octestwall { chain shut { type filter hook forward priority 50; policy drop; ip saddr != 203.0.113.77 accept; }; }\n',
    });
    expect(await openFirewall(passage)).toEqual(['inet octestwall shut']);
  });
});
