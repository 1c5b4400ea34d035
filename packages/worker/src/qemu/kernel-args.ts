/**
 * Only under emulation, which is no isolation boundary anyway: mitigations of processor faults that an emulator does
 * not have, and random addresses, which make it translate the same program anew at every start (a warm `echo` takes
 * half the time without).
 */
const emulationArgs = ['no_timer_check', 'mitigations=off', 'norandmaps'];

/** Kernel command line of a cold boot. */
export function kernelArgs(accelerator: 'kvm' | 'tcg'): string {
  return [
    'console=ttyS0',
    'quiet',
    'root=/dev/vda',
    'rw',
    // A crashed kernel ends the machine at once, and the worker tells why.
    'panic=-1',
    'net.ifnames=0',
    'random.trust_cpu=on',
    // Security modules that nobody configured only cost start-up time.
    'lsm=landlock,yama',
    ...(accelerator === 'tcg' ? emulationArgs : []),
  ].join(' ');
}
