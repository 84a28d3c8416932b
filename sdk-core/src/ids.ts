/** Events that one maker numbers before its numbers begin anew: 26 bits. */
const numbersMax = 2 ** 26;

/**
 * UUIDv7 (RFC 9562, section 6.2, method 1), from which a reader can tell the session and the place in it:
 *
 *     48 bits of milliseconds | 7 | upper 12 bits of the number | variant | lower 14 bits of the number | 48 random bits of the session
 *
 * The number counts the ids of this maker from 0. Ids of one maker always ascend: when the clock goes back the time part stands still, and where
 * the number begins anew within a millisecond it runs ahead. All but the lower bits changes seldom, which makes a burst cheap.
 */
export function createIds(random: () => number): (nowMs: number) => string {
  const tail = `-${hex(random() * 2 ** 24, 6)}${hex(random() * 2 ** 24, 6)}`;
  let millisecond = 0;
  let number = 0;
  let head = '';

  return (nowMs) => {
    const lower = number & 0x3fff;
    if (lower === 0 || nowMs > millisecond) {
      millisecond = Math.max(nowMs, millisecond + (number === 0 ? 1 : 0));
      head = `${hex(millisecond / 2 ** 16, 8)}-${hex(millisecond % 2 ** 16, 4)}-7${hex(number >> 14, 3)}-`;
    }
    number = (number + 1) % numbersMax;
    return head + (0x8000 | lower).toString(16) + tail;
  };
}

function hex(value: number, digits: number): string {
  return Math.floor(value).toString(16).padStart(digits, '0');
}
