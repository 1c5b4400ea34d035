/** By this message the launcher asks its parts, over their channel, whether they still work. */
export interface HeartbeatQuestion {
  readonly heartbeat: number;
}

export interface HeartbeatAnswer {
  readonly heartbeat: number;
  /** Milliseconds since the oldest unfinished probe of this process began; 0 when there is none. */
  readonly probeMs: number;
}

function isQuestion(message: unknown): message is HeartbeatQuestion {
  return typeof message === 'object' && message !== null && 'heartbeat' in message;
}

/** Checks a message of a part. */
export function isHeartbeatAnswer(message: unknown): message is HeartbeatAnswer {
  return (
    isQuestion(message) &&
    Number.isFinite((message as unknown as Readonly<Record<string, unknown>>)['probeMs'])
  );
}

/**
 * Answers the launcher from the event loop of this process, so that no answer means that the loop is blocked.
 * @param probe Work that must end for the process to be of use; the answers say how long it has been waiting. Only one
 * runs at a time.
 */
export function answerHeartbeats(probe: () => Promise<unknown> = () => Promise.resolve()): void {
  let began: number | undefined;
  process.on('message', (message) => {
    if (!isQuestion(message)) return;
    if (began === undefined) {
      began = performance.now();
      const ended = (): void => {
        began = undefined;
      };
      // It only matters that it ends: an error needed a free thread as well.
      probe().then(ended, ended);
    }
    const probeMs = performance.now() - began;
    // That the launcher is gone is reported by the end of the channel.
    process.send?.(
      { heartbeat: message.heartbeat, probeMs } satisfies HeartbeatAnswer,
      undefined,
      undefined,
      () => {},
    );
  });
}
