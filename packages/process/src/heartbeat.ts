/** The launcher asks so its parts whether they still work, over their channel. */
export interface HeartbeatQuestion {
  readonly heartbeat: number;
}

export interface HeartbeatAnswer {
  readonly heartbeat: number;
  /** Milliseconds since the oldest probe of this process began that has not ended yet; 0 when none waits. */
  readonly probeMs: number;
}

function isQuestion(message: unknown): message is HeartbeatQuestion {
  return typeof message === 'object' && message !== null && 'heartbeat' in message;
}

/** Checks what a part has sent. */
export function isHeartbeatAnswer(message: unknown): message is HeartbeatAnswer {
  return (
    isQuestion(message) &&
    Number.isFinite((message as unknown as Readonly<Record<string, unknown>>)['probeMs'])
  );
}

/**
 * Answers the launcher from the event loop of this process, so that silence means that the loop stands still.
 * @param probe What must end for the process to be of use; the answers tell how long one has been waiting. One runs at
 * a time.
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
      // That it ends is what counts: a refusal too needed a free thread.
      probe().then(ended, ended);
    }
    const probeMs = performance.now() - began;
    // A launcher that is gone is told of by the end of the channel.
    process.send?.(
      { heartbeat: message.heartbeat, probeMs } satisfies HeartbeatAnswer,
      undefined,
      undefined,
      () => {},
    );
  });
}
