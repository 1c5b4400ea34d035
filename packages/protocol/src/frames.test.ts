import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type GuestFrame,
  GuestFrameGuard,
  GuestFrameParser,
  guestPayloadBytes,
  encodeGuestFrame,
} from './guest/frames.ts';
import { clientMessageBytes, clientMessages, partsOf, readClientMessage } from './api/client-frames.ts';
import { BrokenFrame, encodeCounter, frameTypes, readSessionFrame, type SessionFrame } from './frames.ts';

const bytes = (maxLength = 300) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const frame = fc.record({ type: fc.integer({ min: 0, max: 255 }), payload: bytes() });

/** Cuts bytes at the given offsets. */
function cut(whole: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (let turn = 0; at < whole.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    chunks.push(whole.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 });
const encode = (frames: readonly GuestFrame[]): Buffer =>
  Buffer.concat(frames.map(({ type, payload }) => encodeGuestFrame(type, payload)));

describe('frames of the agent', () => {
  test('are what they were, wherever the stream was cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), cuts, (frames, sizes) => {
        const parser = new GuestFrameParser();
        const guard = new GuestFrameGuard();
        const read = cut(encode(frames), sizes).flatMap((chunk) => {
          guard.check(chunk);
          return parser.push(chunk);
        });
        expect(read).toEqual(frames);
        expect([parser.complete, guard.complete]).toEqual([true, true]);
      }),
    );
  });

  test('are not complete in the middle of one', () => {
    const whole = encodeGuestFrame(1, Buffer.from('hello'));
    for (let size = 1; size < whole.length; size++) {
      const parser = new GuestFrameParser();
      const guard = new GuestFrameGuard();
      expect(parser.push(whole.subarray(0, size))).toEqual([]);
      guard.check(whole.subarray(0, size));
      expect([parser.complete, guard.complete]).toEqual([false, false]);
    }
  });

  test('that are too large are refused as soon as their length is known', () => {
    const header = Buffer.of(1, 0, 1, 0, 1);
    expect(() => new GuestFrameParser().push(header)).toThrow(BrokenFrame);
    const guard = new GuestFrameGuard();
    expect(() => cut(header, [2]).forEach((chunk) => guard.check(chunk))).toThrow(BrokenFrame);
    expect(() => encodeGuestFrame(1, Buffer.alloc(guestPayloadBytes + 1))).toThrow(RangeError);
    const largest = encodeGuestFrame(2, Buffer.alloc(guestPayloadBytes, 7));
    expect(new GuestFrameParser().push(largest)[0]?.payload).toHaveLength(guestPayloadBytes);
  });

  test('no bytes make anything but frames or a refusal', () => {
    fc.assert(
      fc.property(bytes(2000), cuts, (noise, sizes) => {
        const parser = new GuestFrameParser();
        try {
          for (const { type, payload } of cut(noise, sizes).flatMap((chunk) => parser.push(chunk)))
            readSessionFrame(type, payload);
        } catch (error) {
          expect(error).toBeInstanceOf(BrokenFrame);
        }
      }),
    );
  });
});

describe('messages to clients', () => {
  const counter = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const cases: fc.Arbitrary<[Buffer, SessionFrame]> = fc.oneof(
    fc
      .tuple(fc.constantFrom(1 as const, 2 as const), bytes())
      .map(([stream, data]): [Buffer, SessionFrame] => [
        clientMessages.output(stream, data),
        { type: 'output', stream, data },
      ]),
    fc
      .integer({ min: -2147483648, max: 2147483647 })
      .map((code): [Buffer, SessionFrame] => [clientMessages.exit(code), { type: 'exit', code }]),
    counter.map((count): [Buffer, SessionFrame] => [
      clientMessages.gap(count),
      { type: 'gap', bytes: count },
    ]),
    counter.map((count): [Buffer, SessionFrame] => [
      clientMessages.accepted(count),
      { type: 'accepted', bytes: count },
    ]),
    counter.map((offset): [Buffer, SessionFrame] => [
      clientMessages.offset(offset),
      { type: 'offset', offset },
    ]),
    fc
      .boolean()
      .map((awake): [Buffer, SessionFrame] => [clientMessages.power(awake), { type: 'power', awake }]),
  );

  test('are read as they were written', () => {
    fc.assert(
      fc.property(cases, ([message, expected]) => {
        expect(readSessionFrame(message[0] ?? -1, message.subarray(1))).toEqual(expected);
      }),
    );
  });

  test('have the bytes of the contract', () => {
    expect(clientMessages.output(1, Buffer.from('hi')).toString('hex')).toBe('016869');
    expect(clientMessages.replayed().toString('hex')).toBe('04');
    expect(clientMessages.exit(7).toString('hex')).toBe('0300000007');
    expect(clientMessages.exit(-1).toString('hex')).toBe('03ffffffff');
    expect(clientMessages.stdin(Buffer.from('ls\n')).toString('hex')).toBe('006c730a');
  });

  test('with a payload that does not fit are refused, unknown types are ignored', () => {
    for (const type of [
      frameTypes.exit,
      frameTypes.gap,
      frameTypes.accepted,
      frameTypes.offset,
      frameTypes.power,
    ])
      expect(() => readSessionFrame(type, Buffer.alloc(3))).toThrow(BrokenFrame);
    expect(() => readSessionFrame(frameTypes.end, Buffer.alloc(7))).toThrow(BrokenFrame);
    expect(() => readSessionFrame(frameTypes.gap, Buffer.alloc(8, 0xff))).toThrow(BrokenFrame);
    expect(readSessionFrame(frameTypes.end, encodeCounter(9))).toEqual({ type: 'replayed', offset: 9 });
    expect(readSessionFrame(99, Buffer.alloc(3))).toBeUndefined();
    expect(() => encodeCounter(-1)).toThrow(RangeError);
  });
});

describe('messages of clients', () => {
  test('carry input, its end, or nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (data) => {
        expect(readClientMessage(clientMessages.stdin(data))).toEqual({
          type: 'stdin',
          data: Buffer.from(data),
        });
      }),
    );
    expect(readClientMessage(clientMessages.endOfStdin())).toEqual({ type: 'endOfStdin' });
    for (const ignored of ['', '00', '01', '03aa', '09ff'])
      expect(readClientMessage(Buffer.from(ignored, 'hex'))).toBeUndefined();
  });

  test('are bounded', () => {
    expect(() => readClientMessage(Buffer.alloc(clientMessageBytes + 1))).toThrow(BrokenFrame);
    expect(readClientMessage(Buffer.alloc(clientMessageBytes))?.type).toBe('stdin');
  });
});

test('parts are the whole in order', () => {
  fc.assert(
    fc.property(bytes(3000), fc.integer({ min: 1, max: 700 }), (whole, size) => {
      const parts = [...partsOf(whole, size)];
      expect(Buffer.concat(parts)).toEqual(whole);
      expect(parts.every((part) => part.length <= size && part.length > 0)).toBe(true);
    }),
  );
});
