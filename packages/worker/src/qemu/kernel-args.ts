/**
 * Only under emulation, which is no isolation boundary anyway: turns off mitigations of processor bugs that an emulator
 * does not have, and random addresses, which make it translate the same program again at every start (without them a
 * warm `echo` takes half the time).
 */
const emulationArgs = ['no_timer_check', 'mitigations=off', 'norandmaps'];

/** Kernel command line of a cold boot. */
export function kernelArgs(accelerator: 'kvm' | 'tcg'): string {
  return [
    'console=ttyS0',
    'quiet',
    'root=/dev/vda',
    'rw',
    // A kernel that crashes ends the machine at once, and the worker reports why.
    'panic=-1',
    'net.ifnames=0',
    'random.trust_cpu=on',
    // Security modules that nobody configured only make the start slower.
    'lsm=landlock,yama',
    ...(accelerator === 'tcg' ? emulationArgs : []),
  ].join(' ');
}
