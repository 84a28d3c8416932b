import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';

/** A request body. */
export interface EncodedBody {
  readonly bytes: Buffer;
  readonly isGzip: boolean;
}

export interface Encoder {
  /** `{"events":[…]}` of events that are JSON. */
  readonly encode: (events: readonly string[]) => EncodedBody | Promise<EncodedBody>;
  /** The other side has read the body to its end: its memory may be used again. */
  readonly recycle: (body: EncodedBody) => void;
}

/** A smaller body fits a packet or two, and compressing it saves nothing. */
const gzipBytesMin = 1_024;

/** Memory is taken in steps of this size. */
const blockBytes = 65_536;

const opening = '{"events":[';
const closing = ']}';

const compress = promisify(gzip);

/**
 * Makes request bodies. One block of memory is used again and again: some hundred kilobytes that live for a round trip are the
 * garbage that costs most.
 */
export function createEncoder(withGzip: boolean): Encoder {
  let spare: Buffer = Buffer.alloc(0);

  return {
    encode(events) {
      const plain = write(events);
      return withGzip && plain.length >= gzipBytesMin ? zip(plain) : { bytes: plain, isGzip: false };
    },
    recycle({ bytes, isGzip }) {
      if (!isGzip) giveBack(bytes);
    },
  };

  async function zip(plain: Buffer): Promise<EncodedBody> {
    const bytes = await compress(plain, { level: constants.Z_BEST_SPEED });
    giveBack(plain);
    return { bytes, isGzip: true };
  }

  function write(events: readonly string[]): Buffer {
    const eventBytes = events.reduce((sum, event) => sum + Buffer.byteLength(event), 0);
    const buffer = take(opening.length + eventBytes + events.length + closing.length);
    let end = buffer.write(opening, 'latin1');
    for (const event of events) {
      end += buffer.write(event, end);
      end += buffer.write(',', end, 'latin1');
    }
    // In the place of the last comma.
    end += buffer.write(closing, end - 1, 'latin1') - 1;
    return buffer.subarray(0, end);
  }

  function take(bytes: number): Buffer {
    const buffer = spare;
    spare = Buffer.alloc(0);
    return buffer.length >= bytes
      ? buffer
      : Buffer.allocUnsafeSlow(Math.ceil(bytes / blockBytes) * blockBytes);
  }

  function giveBack(bytes: Buffer): void {
    const whole = Buffer.from(bytes.buffer);
    if (whole.length > spare.length) spare = whole;
  }
}
