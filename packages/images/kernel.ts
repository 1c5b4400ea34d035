import { zstdDecompressSync } from 'node:zlib';

const magicOffset = 0x202;
const setupSectorsOffset = 0x1f1;
const payloadOffsetOffset = 0x248;
const payloadLengthOffset = 0x24c;

/**
 * The uncompressed ELF kernel inside a bzImage. Emulated processors take about a second to decompress the kernel at
 * every boot; QEMU starts the ELF directly, by its PVH entry.
 * @throws Error when the image is not a zstd-compressed x86 kernel with that entry
 */
export function extractKernel(image: Buffer): Buffer {
  if (image.length < 0x260 || image.toString('latin1', magicOffset, magicOffset + 4) !== 'HdrS') {
    throw new Error('kernel image: not an x86 bzImage');
  }
  const setupSectors = image[setupSectorsOffset] || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(payloadOffsetOffset);
  // The build of the kernel appends the uncompressed size as four bytes.
  const end = start + image.readUInt32LE(payloadLengthOffset) - 4;
  if (start >= end || end > image.length) throw new Error('kernel image: payload outside the file');
  const payload = image.subarray(start, end);
  if (payload.readUInt32LE(0) !== 0xfd2fb528) {
    throw new Error('kernel image: expected a zstd payload, as Debian 13 kernels have');
  }
  const kernel = zstdDecompressSync(payload);
  if (kernel.readUInt32BE(0) !== 0x7f454c46) throw new Error('kernel image: payload is not ELF');
  if (!kernel.includes(pvhNote)) throw new Error('kernel image: no PVH entry note');
  return kernel;
}

/** An ELF note of owner "Xen" and type 18, the physical entry point, up to its value. */
const pvhNote = Buffer.from([4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0, 0x58, 0x65, 0x6e, 0]);
