import { z } from 'zod';

/** A whole number in decimal. */
export const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.number().min(min).max(max));

/** A number in decimal, with or without a fraction. */
export const decimal = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,9}(\.\d{1,9})?$/, `expected a number from ${min} to ${max}`)
    .transform(Number)
    .pipe(z.number().min(min).max(max));

/** `host:port` or `[ipv6]:port`. */
export const listenAddress = z.string().transform((text, context) => {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    context.addIssue({ code: 'custom', message: 'expected host:port, such as 127.0.0.1:8080 or [::1]:8080' });
    return z.NEVER;
  }
  return { host: match[1] ?? match[2] ?? '', port };
});

/** Scheme and host, without anything after them. */
export const origin = z.string().transform((text, context) => {
  const url = URL.parse(text);
  const plain = url !== null && url.pathname === '/' && url.search === '' && url.hash === '' && !url.username;
  if (plain && (url.protocol === 'http:' || url.protocol === 'https:')) return url.origin;
  context.addIssue({
    code: 'custom',
    message: 'expected scheme and host, such as https://computers.example',
  });
  return z.NEVER;
});

/** `uid:gid`, by number. */
export const user = z
  .string()
  .regex(/^\d{1,9}:\d{1,9}$/, 'expected uid:gid in numbers, such as 990:990')
  .transform((text) => {
    const [uid = 0, gid = 0] = text.split(':').map(Number);
    return { uid, gid };
  });
