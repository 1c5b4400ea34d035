import { clientMessages, partsOf, plainPayloadBytes, type SessionFrame } from '@opencomputer/protocol';

/** Makes the messages that a client gets of the frames of its session, over any number of connections to that. */
export interface OutputForm {
  messages(frames: readonly SessionFrame[]): Buffer[];
  /** What tells a client that its sandbox hibernates, or runs again; nothing where it would not understand. */
  power(awake: boolean): Buffer[];
  /** The offset from which a new connection goes on. */
  resumeFrom(): string;
  /** The offset after all that was made into messages; undefined as long as it is not known. */
  readonly offset: number | undefined;
}

/** Keeps count of where in the output of a session its client is. */
class Position {
  /** The next byte; undefined until the session has said where it begins. */
  next: number | undefined;

  follow(frame: SessionFrame): void {
    if (frame.type === 'offset') this.next = frame.offset;
    else if (frame.type === 'output') this.next = (this.next ?? 0) + frame.data.length;
    else if (frame.type === 'gap') this.next = (this.next ?? 0) + frame.bytes;
  }
}

abstract class Form implements OutputForm {
  protected readonly position = new Position();
  protected replayed = false;
  readonly #start: string;

  /** @param start Where the first connection began. */
  constructor(start: string) {
    this.#start = start;
  }

  messages(frames: readonly SessionFrame[]): Buffer[] {
    return frames.flatMap((frame) => {
      const { next } = this.position;
      this.position.follow(frame);
      const messages = this.message(frame, next);
      this.replayed ||= frame.type === 'replayed';
      return messages;
    });
  }

  get offset(): number | undefined {
    return this.position.next;
  }

  resumeFrom(): string {
    return this.position.next === undefined ? this.#start : String(this.position.next);
  }

  power(_awake: boolean): Buffer[] {
    return [];
  }

  /** @param before The offset before this frame. */
  protected abstract message(frame: SessionFrame, before: number | undefined): Buffer[];
}

/** What every client understands: output in small parts, the end of the replay, the exit. */
export class PlainForm extends Form {
  protected message(frame: SessionFrame): Buffer[] {
    if (frame.type === 'output')
      return [...partsOf(frame.data, plainPayloadBytes)].map((part) =>
        clientMessages.output(frame.stream, part),
      );
    if (frame.type === 'exit') return [clientMessages.exit(frame.code)];
    return frame.type === 'replayed' && !this.replayed ? [clientMessages.replayed()] : [];
  }
}

/** What clients get that count: offsets, gaps, how much of their input was taken, and hibernation, too. */
export class CountedForm extends Form {
  override power(awake: boolean): Buffer[] {
    return [clientMessages.power(awake)];
  }

  protected message(frame: SessionFrame, before: number | undefined): Buffer[] {
    switch (frame.type) {
      case 'output':
        return [clientMessages.output(frame.stream, frame.data)];
      case 'exit':
        return [clientMessages.exit(frame.code)];
      case 'replayed':
        return this.replayed ? [] : [clientMessages.replayed()];
      case 'gap':
        return [clientMessages.gap(frame.bytes)];
      case 'accepted':
        return [clientMessages.accepted(frame.bytes)];
      case 'offset':
        // A new connection that goes on where the last one was is none of the client's business.
        return frame.offset === before ? [] : [clientMessages.offset(frame.offset)];
      case 'power':
        // Nothing that a guest has a say in.
        return [];
    }
  }
}

/** A terminal: its bytes, and nothing else. */
export class RawForm extends Form {
  protected message(frame: SessionFrame): Buffer[] {
    return frame.type === 'output' ? [...partsOf(frame.data, plainPayloadBytes)] : [];
  }
}
