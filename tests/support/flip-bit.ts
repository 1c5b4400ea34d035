import { open } from 'node:fs/promises';

const stepBytes = 4096;

/** Changes one bit in the middle of a file's data. @returns how to change it back */
export async function flipBit(path: string): Promise<{ mend: () => Promise<void> }> {
  const { at, byte } = await findByte(path);
  await writeByte(path, at, byte ^ 0x10);
  return { mend: () => writeByte(path, at, byte) };
}

async function writeByte(path: string, at: number, byte: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(Buffer.of(byte), 0, 1, at);
  } finally {
    await file.close();
  }
}

/** A byte in the second half of a file that was written: zeros may be a hole. */
async function findByte(path: string): Promise<{ at: number; byte: number }> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(stepBytes);
    for (
      let position = Math.floor(size / 2 / stepBytes) * stepBytes;
      position < size;
      position += stepBytes
    ) {
      const { bytesRead } = await file.read(buffer, 0, stepBytes, position);
      const index = buffer.subarray(0, bytesRead).findIndex((byte) => byte !== 0);
      if (index >= 0) return { at: position + index, byte: buffer[index] ?? 0 };
    }
    throw new Error(`${path} has nothing but zeros in its second half`);
  } finally {
    await file.close();
  }
}
