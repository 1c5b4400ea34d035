/** What a build reports about its progress. */
export type BuildProgress =
  | { event: 'started'; phase: string }
  | { event: 'detail'; phase: string; detail: string }
  | { event: 'finished'; phase: string; seconds: number };

export type OnProgress = (progress: BuildProgress) => void;

/** Runs one phase of a build, and reports its start and its end. */
export async function inPhase<Result>(
  onProgress: OnProgress,
  phase: string,
  work: (detail: (text: string) => void) => Promise<Result>,
): Promise<Result> {
  const start = performance.now();
  onProgress({ event: 'started', phase });
  const result = await work((detail) => onProgress({ event: 'detail', phase, detail }));
  onProgress({ event: 'finished', phase, seconds: (performance.now() - start) / 1000 });
  return result;
}

/**
 * Shows progress to a person: on a terminal one line that is updated; elsewhere plain lines, with at most one line of
 * details in five seconds.
 */
export function progressPrinter(stream: NodeJS.WriteStream): OnProgress {
  const start = performance.now();
  let lastDetail = -Infinity;
  const elapsed = () => `[${((performance.now() - start) / 1000).toFixed(1).padStart(5)} s]`;
  const transient = (text: string) => {
    stream.write(`\r\u001b[K${`${elapsed()} ${text}`.slice(0, (stream.columns ?? 80) - 1)}`);
  };
  const erase = stream.isTTY ? '\r\u001b[K' : '';
  return (progress) => {
    if (progress.event === 'finished') {
      stream.write(`${erase}${elapsed()} ${progress.phase}: done in ${progress.seconds.toFixed(1)} s\n`);
    } else if (stream.isTTY) {
      transient(progress.event === 'started' ? progress.phase : `${progress.phase}: ${progress.detail}`);
    } else if (progress.event === 'started') {
      stream.write(`${elapsed()} ${progress.phase}\n`);
    } else if (performance.now() - lastDetail > 5000) {
      lastDetail = performance.now();
      stream.write(`${elapsed()} ${progress.phase}: ${progress.detail}\n`);
    }
  };
}
