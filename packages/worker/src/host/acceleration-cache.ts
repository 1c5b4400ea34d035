import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { pipeline } from 'node:stream/promises';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { writeFileAtomic } from './atomic-file.ts';
import { systemErrorCode } from './errors.ts';

const keySchema = z.object({
  hostKernel: z.string(),
  hostCpu: z.string(),
  qemuVersion: z.string(),
  kernelSha256: z.string(),
  /** Path of the program that started QEMU: the answer for a process with other rights may differ. */
  jailer: z.string().optional(),
});

const answerSchema = z.object({
  accelerator: z.enum(['kvm', 'tcg']),
  reason: z.string().min(1),
  hint: z.string().optional(),
  cpuModel: z.string().min(1),
  /** How long the probe waited for the kernel's first byte, in milliseconds. */
  deadlineMs: z.number().positive(),
});

const fileSchema = z.object({ format: z.literal(1), key: keySchema, answer: answerSchema });

/** Everything that decides whether a machine runs under KVM: while none of it changes, a kept answer is valid. */
export type AccelerationKey = z.infer<typeof keySchema>;
export type AccelerationAnswer = z.infer<typeof answerSchema>;

export type CachedAnswer =
  | { readonly kind: 'known'; readonly answer: AccelerationAnswer }
  | { readonly kind: 'unknown' }
  /** The file exists, and can't be used. */
  | { readonly kind: 'damaged'; readonly reason: string };

/**
 * Gathers the key of this host. `kernel` is the path of the guest kernel. @throws the system's error when that can't be
 * read
 */
export async function accelerationKey(
  kernel: string,
  qemuVersion: string,
  jailer?: string,
): Promise<AccelerationKey> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(kernel), hash);
  return {
    hostKernel: release(),
    hostCpu: cpus()[0]?.model ?? 'unknown',
    qemuVersion,
    kernelSha256: hash.digest('hex'),
    ...(jailer === undefined ? {} : { jailer }),
  };
}

/** The answer that was kept for this key. Never throws: a file that can't be read counts as no answer. */
export async function readCachedAnswer(path: string, key: AccelerationKey): Promise<CachedAnswer> {
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return { kind: 'unknown' };
    return { kind: 'damaged', reason: String(error) };
  }
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success) return { kind: 'damaged', reason: z.prettifyError(parsed.error) };
  if (!isDeepStrictEqual(parsed.data.key, key)) return { kind: 'unknown' };
  return { kind: 'known', answer: parsed.data.answer };
}

/** Keeps an answer in place of the last one. @throws the system's error */
export async function writeCachedAnswer(
  path: string,
  key: AccelerationKey,
  answer: AccelerationAnswer,
): Promise<void> {
  const content: z.input<typeof fileSchema> = { format: 1, key, answer };
  await writeFileAtomic(path, `${JSON.stringify(content, null, 2)}\n`);
}
