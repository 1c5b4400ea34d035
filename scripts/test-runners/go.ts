import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Failure, Outcome } from './outcome.ts';

/** A line of `go test -json`, https://pkg.go.dev/cmd/test2json. */
export interface GoEvent {
  Action: string;
  Package?: string;
  ImportPath?: string;
  Test?: string;
  Output?: string;
}

/** Adds up the events of `go test -json`. */
export class GoEvents {
  #passed = 0;
  #skipped = 0;
  readonly #failures: Failure[] = [];
  readonly #output = new Map<string, string>();

  add(event: GoEvent): void {
    const where = event.Package ?? event.ImportPath ?? '';
    const name = event.Test === undefined ? where : `${where} ${event.Test}`;
    if (event.Action === 'output' || event.Action === 'build-output')
      this.#output.set(name, (this.#output.get(name) ?? '') + (event.Output ?? ''));
    else if (event.Action === 'fail' || event.Action === 'build-fail') {
      // A package fails with its tests; by itself only when it breaks off or does not build.
      if (event.Test === undefined && this.#failures.some((failure) => failure.name.startsWith(`${name} `)))
        return;
      this.#failures.push({ name, message: this.#output.get(name) ?? '' });
    } else if (event.Test !== undefined && event.Action === 'pass') this.#passed++;
    else if (event.Test !== undefined && event.Action === 'skip') this.#skipped++;
  }

  end(code: number | null): Outcome {
    if (code !== 0 && this.#failures.length === 0)
      this.#failures.push({ name: 'go test', message: `exited with ${String(code)} though no test failed` });
    return { passed: this.#passed, skipped: this.#skipped, failures: this.#failures };
  }
}

/** Runs the tests of all packages of a Go module. */
export function runGoTests(folder: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn('go', ['test', '-json', './...'], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const events = new GoEvents();
    createInterface({ input: child.stdout }).on('line', (line) => events.add(JSON.parse(line) as GoEvent));
    child.once('error', reject);
    child.once('close', (code) => resolve(events.end(code)));
  });
}
