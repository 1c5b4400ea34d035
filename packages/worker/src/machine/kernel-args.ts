/** Kernel command line of a cold boot. Under emulation the guest's own mitigations only cost time: it has no neighbours in its CPU. */
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
    ...(accelerator === 'tcg' ? ['no_timer_check', 'mitigations=off'] : []),
  ].join(' ');
}
