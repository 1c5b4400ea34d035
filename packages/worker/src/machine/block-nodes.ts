import type { Qmp } from './qmp.ts';

/** The writable block node of a live machine: after a crash the record may be one step ahead of it. */
export async function liveNode(qmp: Qmp): Promise<string> {
  const blocks = (await qmp.run('query-block')) as { inserted?: { 'node-name'?: unknown } }[];
  const node = blocks.map((block) => block.inserted?.['node-name']).find((name) => typeof name === 'string');
  if (typeof node !== 'string') throw new Error('the machine has no disk');
  return node;
}
