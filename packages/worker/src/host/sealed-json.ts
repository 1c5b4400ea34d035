import { createHash } from 'node:crypto';

function sealOf(value: object): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32);
}

/** An object as indented JSON, with a hash of it as the last field, `seal`. */
export function sealJson(value: object): string {
  return `${JSON.stringify({ ...value, seal: sealOf(value) }, null, 2)}\n`;
}

/**
 * Parses what `sealJson` has written. Text without a seal comes from an older release and is accepted as it is.
 * @throws Error when it is not JSON, or was changed after it was sealed
 */
export function openSealed(text: string): unknown {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null || !('seal' in parsed)) return parsed;
  const { seal, ...value } = parsed;
  if (seal !== sealOf(value)) throw new Error('its content is not what was written');
  return value;
}
