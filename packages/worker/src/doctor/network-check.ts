import type { Check } from './checks.ts';

/** How the network describes itself on this host. */
export interface NetworkDescription {
  readonly mode: string;
  readonly summary: string;
  /** Why a part of the policy is missing; empty where none is. */
  readonly reasons: readonly string[];
  /** Parts of the policy that are not enforced. */
  readonly missing: readonly string[];
  readonly fixes: readonly string[];
}

/** The check of a network: a warning where any part of the policy is not enforced. */
export function networkCheck({ mode, summary, reasons, missing, fixes }: NetworkDescription): Check {
  const lost = missing.length === 0 ? '' : `Not held: ${missing.join('; ')}.`;
  const why = [...reasons, lost].filter((sentence) => sentence !== '').join(' ');
  return {
    id: 'network',
    title: 'Network',
    status: why === '' ? 'ok' : 'warn',
    found: `${mode}: ${summary}`,
    ...(why === '' ? {} : { why }),
    ...(fixes.length === 0 ? {} : { fix: fixes.join(' ') }),
  };
}
