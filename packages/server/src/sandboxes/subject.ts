import type { Subject } from '../store/operations.ts';

/** A sandbox, as what operations work on. */
export const sandboxSubject = (id: string): Subject => ({ kind: 'sandbox', id });
