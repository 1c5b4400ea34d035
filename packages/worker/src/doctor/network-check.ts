import type { Check } from './checks.ts';

/** What the network knows of itself on this host. */
export interface NetworkDescription {
  readonly mode: string;
  readonly summary: string;
  /** Why it is not better; empty where nothing is lost. */
  readonly reasons: readonly string[];
  /** Parts of the policy that are not held. */
  readonly missing: readonly string[];
  readonly fixes: readonly string[];
}

/** The doctor's check of a network: a warning where any part of the policy is not held. */
export function networkCheck({ mode, summary, reasons, missing, fixes }: NetworkDescription): Check {
  const lost = missing.length === 0 ? '' : `Not held: ${missing.join('; ')}.`;
  const why = [...reasons, lost].filter((sentence) => sentence !== '').join(' ');
  return {
    id: 'network',
    title: 'Network',
    status: why === '' ? 'ok' : 'warn',
    found: `${mode}: ${summary}`,
    ...(why === '' ? {} : { why }),
    ...(fixes.length === 0 ? {} : { mend: fixes.join(' ') }),
  };
}
