import { beforeAll, describe, expect, test } from 'vitest';
import { authorityEnvs, trustLikeHost } from '../support/authorities.ts';
import { fileSandbox } from '../support/shared.ts';

const tools =
  'python3 pip3 node npm gcc g++ make cmake git curl wget jq rsync htop tree nano vim.tiny sqlite3 ssh ip ifconfig dig sudo openssl tar gzip xz unzip';

describe('what a sandbox has', () => {
  const first = fileSandbox({ envs: { FROM_CREATE: 'yes' } });
  const second = fileSandbox();

  test('the tools of the contract, in the PATH of commands', async () => {
    const missing = await first().output(`for t in ${tools}; do command -v $t >/dev/null || echo $t; done`);
    expect(missing).toBe('');
    const node = await first().output('node --version');
    expect(Number(/^v(\d+)\./.exec(node)?.[1])).toBeGreaterThanOrEqual(20);
    expect(
      await first().output('python3 -m venv --without-pip /tmp/venv && /tmp/venv/bin/python -c "print(6*7)"'),
    ).toBe('42');
    const build = 'printf "int main(){return 7;}" > /tmp/m.c && gcc -o /tmp/m /tmp/m.c && /tmp/m; echo $?';
    expect(await first().output(build)).toBe('7');
  });

  test('commands run as user sandbox, at home, who may become root', async () => {
    expect(
      await first().output('id -un; id -u; id -g; pwd; echo $HOME $USER $LOGNAME; echo $FROM_CREATE'),
    ).toBe('sandbox\n1000\n1000\n/home/sandbox\n/home/sandbox sandbox sandbox\nyes');
    expect(await first().output('sudo -n id -u')).toBe('0');
    expect(await first().output('readlink -f /workspace')).toBe('/home/sandbox');
    await first().output('touch /workspace/made-here && test -f ~/made-here');
  });

  test('systemd runs, and every unit of it is well', async () => {
    expect(await first().output('ps -o comm= -p 1')).toBe('systemd');
    expect(await first().output('systemctl list-units --failed --no-legend --plain')).toBe('');
    expect(await first().output('systemctl is-system-running')).toBe('running');
  });

  test('services can be started', async () => {
    await first().output(
      'sudo systemd-run --unit=hello-service sh -c "echo served > /tmp/served; sleep 600"',
    );
    await first().output('for i in $(seq 100); do [ -s /tmp/served ] && exit 0; sleep 0.1; done; exit 1');
    expect(await first().output('systemctl is-active hello-service')).toBe('active');
    await first().output('sudo systemctl stop hello-service');
  });

  test('nobody gets in by a password or a key that others know', async () => {
    const locked = await first().output("sudo awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow");
    expect(locked).toBe('');
    expect(await first().output('ls /etc/ssh/ssh_host_* 2>/dev/null || true')).toBe('');
  });

  test('two sandboxes share no identity and no randomness', async () => {
    const read = [
      'cat /etc/machine-id',
      'hostname',
      'cat /proc/sys/kernel/random/uuid',
      'openssl rand -hex 16',
      'head -c 16 /dev/urandom | od -An -tx1',
      'sudo cat /var/lib/systemd/random-seed 2>/dev/null | sha256sum | grep -v e3b0c442 || echo none-$(hostname)',
    ].join('; ');
    const [one, two] = await Promise.all([first().output(read), second().output(read)]);
    const [ones, twos] = [one.split('\n'), two.split('\n')];
    expect(ones).toHaveLength(6);
    for (const [index, value] of ones.entries()) expect(value, `line ${index}`).not.toBe(twos[index]);
    expect(ones[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(ones[1]).toBe(first().id);
    expect(await first().output('sudo -n hostname 2>&1')).toBe(first().id);
  });

  test('the clock is the host\u2019s', async () => {
    const before = Date.now();
    const guest = Number(await first().output('date +%s%3N'));
    const after = Date.now();
    expect(guest).toBeGreaterThan(before - 3000);
    expect(guest).toBeLessThan(after + 3000);
  });
});

describe('software can be installed', () => {
  const sandbox = fileSandbox({ envs: authorityEnvs });
  beforeAll(() => trustLikeHost(sandbox()));

  test('apt-get installs a package', async () => {
    const line =
      'sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends hello >/dev/null && hello';
    const result = await sandbox().run(line, { timeout: 170 });
    expect(result.stderr + result.stdout).toContain('Hello, world!');
  });
});
