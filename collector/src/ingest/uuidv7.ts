/**
 * Makes UUIDs of version 7 (RFC 9562), for events that came without an id: each is greater than the one before, also within a
 * millisecond and after a step back of the clock. `random(n)` gives n random bytes.
 *
 * The 12 bits behind the time count (RFC 9562, 6.2, method 1): they begin in their lower half at random, and when they are used
 * up the time goes one millisecond ahead.
 */
export function createUuidv7(random: (length: number) => Uint8Array): (nowMs: number) => string {
  let lastMs = -1;
  let counter = 0;
  /** Random hex digits and how many of them are used: asking for them one id at a time would take most of the time. */
  let pool = '';
  let used = 0;

  return function uuidv7(nowMs) {
    if (used === pool.length) {
      const bytes = random(digitsPerId * 64);
      pool = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
      used = 0;
    }
    const digits = pool.slice(used, used + digitsPerId);
    used += digitsPerId;
    if (nowMs > lastMs) {
      lastMs = Math.floor(nowMs);
      counter = Number.parseInt(digits.slice(16, 20), 16) & 0x7ff;
    } else if (++counter > 0xfff) {
      lastMs++;
      counter = 0;
    }
    const time = lastMs.toString(16).padStart(12, '0');
    const variant = '89ab'[Number.parseInt(digits.charAt(0), 16) & 3];
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${variant}${digits.slice(1, 4)}-${digits.slice(4, 16)}`;
  };
}

const digitsPerId = 20;
