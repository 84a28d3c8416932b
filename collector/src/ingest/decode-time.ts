import { byte } from './decode-bytes.ts';

/**
 * Microseconds of a time in bytes [start, end), or -1 for any but the usual form: `2026-01-31T23:59:59.123456Z`, with up to six
 * digits behind the point, in the years 1970–2199. What is not usual is for `parseTime`, which gives the same for these. It
 * takes a tenth of the time of `parseTime`, which else would take a third of all decoding.
 */
export function usualTime(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length < shortest || length > shortest + 7 || !hasForm(bytes, start, end)) return -1;
  const year = digits(bytes, start, 4);
  const month = digits(bytes, start + 5, 2);
  const day = digits(bytes, start + 8, 2);
  const hour = digits(bytes, start + 11, 2);
  const minute = digits(bytes, start + 14, 2);
  const second = digits(bytes, start + 17, 2);
  const fractionLength = Math.max(length - shortest - 1, 0);
  const fraction = digits(bytes, start + 20, fractionLength);
  if ((year | month | day | hour | minute | second | fraction) < 0) return -1;
  if (year < 1970 || year > 2199 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59)
    return -1;
  const leap = year % 4 === 0 && year !== 2100 ? 1 : 0;
  const before = (daysBefore[month - 1] as number) + (month > 2 ? leap : 0);
  const behind = (daysBefore[month] as number) + (month > 1 ? leap : 0);
  if (day < 1 || before + day > behind) return -1;
  const leapDays = ((year - 1969) >> 2) - (year > 2100 ? 1 : 0);
  const days = (year - 1970) * 365 + leapDays + before + day - 1;
  return (
    ((days * 24 + hour) * 60 + minute) * 60_000_000 +
    second * 1_000_000 +
    fraction * (scales[fractionLength] as number)
  );
}

const shortest = '2026-01-31T23:59:59Z'.length;
const scales = [0, 100_000, 10_000, 1_000, 100, 10, 1];
/** Days of a common year before each month, and before the next year. */
const daysBefore = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

function hasForm(bytes: Uint8Array, start: number, end: number): boolean {
  return (
    bytes[start + 4] === byte.minus &&
    bytes[start + 7] === byte.minus &&
    bytes[start + 10] === byte.upperT &&
    bytes[start + 13] === byte.colon &&
    bytes[start + 16] === byte.colon &&
    bytes[end - 1] === byte.upperZ &&
    (end - start === shortest || (bytes[start + 19] === byte.dot && end - start > shortest + 1))
  );
}

/** The number that `count` digits stand for, or -1. */
function digits(bytes: Uint8Array, start: number, count: number): number {
  let number = 0;
  for (let at = start; at < start + count; at++) {
    const digit = (bytes[at] as number) - byte.zero;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}
