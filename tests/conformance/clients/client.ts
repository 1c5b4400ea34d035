/** What the scenarios use of a client. Both clients have it under the same names. */
export interface Client {
  readonly name: 'ours' | 'published';
  create(options?: CreateOptions): Promise<SandboxHandle>;
  connect(sandboxId: string, options?: { apiKey?: string }): Promise<SandboxHandle>;
}

export interface CreateOptions {
  template?: string;
  timeout?: number;
  envs?: Record<string, string>;
  metadata?: Record<string, string>;
  cpuCount?: number;
  memoryMB?: number;
  apiKey?: string;
}

export interface RunOptions {
  timeout?: number;
  env?: Record<string, string>;
  cwd?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
}

export interface RunResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  /** The published client does not pass it on. */
  truncated?: boolean;
}

export interface SandboxHandle {
  readonly sandboxId: string;
  readonly status: string;
  readonly domain: string;
  isRunning(): Promise<boolean>;
  setTimeout(seconds: number): Promise<void>;
  kill(): Promise<void>;
  downloadUrl(path: string, options?: { expiresIn?: number }): Promise<string>;
  uploadUrl(path: string, options?: { expiresIn?: number }): Promise<string>;
  readonly exec: { run(command: string, options?: RunOptions): Promise<RunResult> };
  readonly files: {
    read(path: string): Promise<string>;
    readBytes(path: string): Promise<Uint8Array>;
    write(path: string, content: string | Uint8Array | ReadableStream<Uint8Array>): Promise<void>;
    list(path?: string): Promise<{ name: string; path: string; isDir: boolean; size?: number }[]>;
    makeDir(path: string): Promise<void>;
    remove(path: string): Promise<void>;
    exists(path: string): Promise<boolean>;
  };
}
