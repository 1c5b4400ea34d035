import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { constants, type FileHandle, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { systemErrorCode } from '../host/errors.ts';
import { withUntrusted } from '../host/untrusted-file.ts';

/** What QEMU prints. QEMU appends to it, so that it can be cut meanwhile. */
export const machineLogFile = 'qemu.log';

/** A guest can make QEMU print any amount, and this file does not count towards the limit of its disk. */
const mostBytes = 1024 * 1024;
/** How much is kept of a log that has grown beyond that. */
const keptBytes = 64 * 1024;
const lastBytes = 4096;
const betweenLooksMs = 2000;

function tailOf({ fd }: FileHandle, bytes: number): Buffer {
  const { size } = fstatSync(fd);
  const position = Math.max(0, size - bytes);
  const buffer = Buffer.alloc(size - position);
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, position));
}

/** The end of QEMU's own log, on one line; nothing when there is no log. */
export async function lastLines(logFile: string): Promise<string> {
  try {
    const tail = await withUntrusted(logFile, {}, (file) => Promise.resolve(tailOf(file, lastBytes)));
    return tail.toString('utf8').trim().split('\n').slice(-3).join(' | ').slice(-600);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  }
}

/**
 * Cuts a log that has grown too long; its end is kept. Lines that QEMU prints during the cut are lost, so it is done
 * synchronously.
 * @returns whether it was too long
 */
export function shortenLog(logFile: string): Promise<boolean> {
  const flags = constants.O_RDWR | constants.O_APPEND;
  return withUntrusted(logFile, { flags }, async (file) => {
    if ((await file.stat()).size <= mostBytes) return false;
    const tail = tailOf(file, keptBytes);
    ftruncateSync(file.fd, 0);
    const end = tail.subarray(tail.indexOf('\n') + 1);
    writeSync(file.fd, Buffer.concat([Buffer.from('[earlier lines were dropped]\n'), end]));
    return true;
  });
}

/**
 * Keeps the logs of all machines short, running or not, until it is disposed.
 * @param directory of all machines
 * @param everyMs pause between two checks, in milliseconds
 */
export function keepLogsShort(
  directory: string,
  log: Pick<Logger, 'warn'>,
  everyMs = betweenLooksMs,
): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const look = async (): Promise<void> => {
    for (const id of await readdir(directory)) {
      try {
        if (await shortenLog(join(directory, id, machineLogFile)))
          log.warn({ machine: id }, 'QEMU prints much; its log was cut down to its end');
      } catch (error) {
        // It has printed nothing yet, or was deleted.
        if (!['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? ''))
          log.warn({ machine: id, err: error }, 'the log of QEMU could not be cut');
      }
    }
  };
  const again = (): void => {
    if (!ended) timer = setTimeout(run, everyMs).unref();
  };
  const run = (): void => {
    look()
      .catch((error: unknown) => log.warn({ err: error }, 'the logs of QEMU could not be cut'))
      .finally(again);
  };
  run();
  return {
    [Symbol.dispose]: () => {
      ended = true;
      clearTimeout(timer);
    },
  };
}
