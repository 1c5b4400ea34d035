import { Sandbox } from '@opencomputer/sdk';
import { WebSocket } from 'ws';
import { readConfigFile } from './config/file.ts';
import { resolveSettings } from './config/settings.ts';
import { paintFor } from './output/colors.ts';
import { Progress } from './output/progress.ts';
import { printable } from './output/table.ts';
import type { Command } from 'commander';
import type { ConnectionOptions } from '@opencomputer/sdk';
import type { Settings } from './config/settings.ts';
import type { Paint } from './output/colors.ts';

/** Flags that every command takes. */
export interface GlobalFlags {
  json?: boolean;
  color: boolean;
  apiKey?: string;
  apiUrl?: string;
}

/** What a command needs: settings, and output for people and programs. */
export class App {
  readonly json: boolean;
  readonly settings: Settings;
  /** For standard output. */
  readonly paint: Paint;

  private constructor(flags: GlobalFlags, settings: Settings) {
    this.json = flags.json === true;
    this.settings = settings;
    this.paint = paintFor({
      isTerminal: process.stdout.isTTY && !this.json,
      wanted: flags.color,
      env: process.env,
    });
  }

  static async of(command: Command): Promise<App> {
    const flags = command.optsWithGlobals<GlobalFlags>();
    return new App(flags, resolveSettings(flags, process.env, await readConfigFile()));
  }

  /** For calls of the client library. */
  get connection(): ConnectionOptions {
    return {
      apiUrl: this.settings.apiUrl.value,
      apiKey: this.settings.apiKey.value,
      // This WebSocket can make a command wait until its output is read.
      webSocket: (url, options) => new WebSocket(url, options),
    };
  }

  connect(id: string): Promise<Sandbox> {
    return Sandbox.connect(id, this.connection);
  }

  /** Prints a result: `value` as JSON for programs, `text` for people. */
  show(value: unknown, text: () => string): void {
    const out = this.json ? JSON.stringify(value, undefined, 2) : text();
    if (out !== '') process.stdout.write(`${out}\n`);
  }

  /** Prints one line for people, on standard error. */
  tell(text: string): void {
    if (!this.json) process.stderr.write(`${printable(text)}\n`);
  }

  /** Waits for work, and shows progress where it takes long. */
  async during<T>(text: string, work: () => Promise<T>): Promise<T> {
    const progress = new Progress(process.stderr, text);
    try {
      return await work();
    } finally {
      progress.end();
    }
  }
}
