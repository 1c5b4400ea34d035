import { requestOptions } from './config.ts';
import { bodyBytes, bodyStream } from './download.ts';
import { OpenComputerError } from './errors.ts';
import { toUpload } from './upload.ts';
import type { RequestOptions } from './config.ts';
import type { HttpClient } from './http.ts';
import type { FileContent } from './upload.ts';
import type { FileType, WireFileEntry } from './wire.ts';

/** An entry of a directory. */
export interface EntryInfo {
  name: string;
  path: string;
  /** True for directories and for links to them. */
  isDir: boolean;
  /** Bytes. */
  size: number;
  type: FileType;
  /** Permissions, e.g. `0644`. */
  mode: string;
  modifiedAt: Date;
}

/** Errors of reading which mean that nothing is there. */
const nothingThere = new Set(['file_not_found', 'not_directory']);
/** Errors of reading which mean that something is there, but not a readable file. */
const somethingThere = new Set(['is_directory', 'not_regular_file']);

/**
 * Files of a sandbox: `sandbox.files`. Relative paths start at `/home/sandbox`.
 * All methods throw SandboxNotFoundError, SandboxStoppedError, AuthenticationError, ConnectionError and
 * TimeoutError where these apply.
 */
export class Filesystem {
  readonly #http: HttpClient;
  readonly #path: string;

  /** Internal: use `sandbox.files`. */
  constructor(http: HttpClient, sandboxPath: string) {
    this.#http = http;
    this.#path = `${sandboxPath}/files`;
  }

  /**
   * Reads a text file. Bytes that are not UTF-8 become U+FFFD; use `readBytes` for anything but text.
   *
   * @throws FileNotFoundError when there is none
   * @throws InvalidRequestError when the path is a directory, or invalid
   * @example
   * const text = await sandbox.files.read('/app/hello.txt');
   */
  async read(path: string, options: RequestOptions = {}): Promise<string> {
    const bytes = await this.#http.exchange(this.#get('read', path, options), bodyBytes);
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  }

  /**
   * Reads a file.
   *
   * @throws FileNotFoundError, InvalidRequestError as `read`
   * @example
   * const image = await sandbox.files.readBytes('plot.png');
   */
  async readBytes(path: string, options: RequestOptions = {}): Promise<Uint8Array> {
    return this.#http.exchange(this.#get('readBytes', path, options), bodyBytes);
  }

  /**
   * Opens a file to read it piece by piece, whatever its size. Read it to its end or cancel it:
   * until then it holds a connection.
   *
   * @throws FileNotFoundError, InvalidRequestError as `read`; the stream itself fails when the connection breaks
   * @example
   * for await (const chunk of await sandbox.files.readStream('/var/log/big.log')) process.stdout.write(chunk);
   */
  async readStream(path: string, options: RequestOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return this.#http.exchange(this.#get('readStream', path, options), (answer) =>
      Promise.resolve(bodyStream(answer)),
    );
  }

  /**
   * Writes a file: creates it and its parent directories, or replaces its content. The old content stays until
   * the new one has arrived completely. Streams are sent in constant memory.
   *
   * @throws InvalidRequestError when the path is a directory, or invalid
   * @throws CapacityError when the disk is full
   * @example
   * await sandbox.files.write('/app/hello.txt', 'Hello');
   * await sandbox.files.write('/data/big.bin', createReadStream('big.bin'));
   */
  async write(path: string, content: FileContent, options: RequestOptions = {}): Promise<void> {
    await this.#http.done({
      method: 'PUT',
      path: this.#path,
      query: { path },
      upload: toUpload(content),
      ...requestOptions('files.write', options),
    });
  }

  /**
   * Lists a directory, sorted by name.
   *
   * @param path - default `/`
   * @throws FileNotFoundError when there is none
   * @throws InvalidRequestError when it is a file
   * @example
   * for (const { name, size } of await sandbox.files.list('/app')) console.log(name, size);
   */
  async list(path = '/', options: RequestOptions = {}): Promise<EntryInfo[]> {
    const entries = (await this.#http.json({
      method: 'GET',
      path: `${this.#path}/list`,
      query: { path },
      ...requestOptions('files.list', options),
    })) as WireFileEntry[];
    return entries.map(toEntry);
  }

  /**
   * Makes a directory and its parents. One that exists is fine.
   *
   * @throws InvalidRequestError when a file is in the way
   * @example
   * await sandbox.files.makeDir('/app/logs');
   */
  async makeDir(path: string, options: RequestOptions = {}): Promise<void> {
    await this.#http.done({
      method: 'POST',
      path: `${this.#path}/mkdir`,
      query: { path },
      ...requestOptions('files.makeDir', options),
    });
  }

  /**
   * Removes a file, or a directory with all in it. One that does not exist is fine.
   *
   * @throws InvalidRequestError when it may not be removed, such as `/`
   * @example
   * await sandbox.files.remove('/app/logs');
   */
  async remove(path: string, options: RequestOptions = {}): Promise<void> {
    await this.#http.done({
      method: 'DELETE',
      path: this.#path,
      query: { path },
      ...requestOptions('files.remove', options),
    });
  }

  /**
   * Is there anything at this path: a file, a directory, a device, a pipe or a socket? Links are followed.
   *
   * @throws InvalidRequestError when the path is invalid
   * @example
   * if (!(await sandbox.files.exists('package.json'))) await sandbox.exec.run('npm init -y');
   */
  async exists(path: string, options: RequestOptions = {}): Promise<boolean> {
    try {
      const request = this.#get('exists', path, options);
      await this.#http.exchange(request, async (answer) => bodyStream(answer).cancel());
      return true;
    } catch (error) {
      if (!(error instanceof OpenComputerError)) throw error;
      if (somethingThere.has(error.code)) return true;
      if (nothingThere.has(error.code)) return false;
      throw error;
    }
  }

  #get(method: string, path: string, options: RequestOptions) {
    const limits = requestOptions(`files.${method}`, options);
    return { method: 'GET', path: this.#path, query: { path }, ...limits } as const;
  }
}

function toEntry(entry: WireFileEntry): EntryInfo {
  return {
    name: entry.name,
    path: entry.path,
    isDir: entry.isDir,
    size: entry.size ?? 0,
    type: entry.type,
    mode: entry.mode,
    modifiedAt: new Date(entry.modifiedAt),
  };
}
