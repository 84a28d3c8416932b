/**
 * Times on the wire are RFC 3339; inside they are integer microseconds since the Unix epoch. A JavaScript Date cannot
 * stand between the two: it drops microseconds.
 */

const pattern =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** 0001-01-01T00:00:00Z, the earliest time there is. */
export const earliestMicros = -62_135_596_800_000_000n;

/** The end of the year 9999. */
export const latestMicros = 253_402_300_799_999_999n;

/**
 * Microseconds of an RFC 3339 time with any offset, in the years 1–9999 (UTC); digits beyond the sixth are cut. A leap second
 * counts as the second after it. Anything else: undefined.
 */
export function parseTime(text: string): bigint | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [
    ,
    year,
    month,
    day,
    hour,
    minute,
    second,
    fraction = '',
    sign,
    offsetHour = '0',
    offsetMinute = '0',
  ] = match;
  const days = daysSinceEpoch(Number(year), Number(month), Number(day));
  if (days === undefined) return undefined;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined;
  const offsetSeconds = (Number(offsetHour) * 60 + Number(offsetMinute)) * (sign === '-' ? -60 : 60);
  const seconds = days * 86_400 + Number(hour) * 3_600 + Number(minute) * 60 + Number(second) - offsetSeconds;
  const micros = BigInt(seconds) * 1_000_000n + BigInt(fraction.slice(0, 6).padEnd(6, '0'));
  return micros < earliestMicros || micros > latestMicros ? undefined : micros;
}

/** `2026-01-31T23:59:59.000001Z`: always UTC, always six digits. Precondition: the years 1–9999. */
export function formatTime(micros: bigint): string {
  let milliseconds = micros / 1_000n;
  let rest = micros % 1_000n;
  if (rest < 0n) {
    rest += 1_000n;
    milliseconds -= 1n;
  }
  return `${new Date(Number(milliseconds)).toISOString().slice(0, -1)}${rest.toString().padStart(3, '0')}Z`;
}

const daysBeforeMonth = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const daysOfMonth = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Days from 1970-01-01 to a date of the proleptic Gregorian calendar, or undefined where there is no such date. */
function daysSinceEpoch(year: number, month: number, day: number): number | undefined {
  const before = daysBeforeMonth[month - 1];
  const length = daysOfMonth[month - 1];
  if (before === undefined || length === undefined || year < 0) return undefined;
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (day < 1 || day > length + (leap && month === 2 ? 1 : 0)) return undefined;
  const y = year - 1;
  const leapDays = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400);
  return y * 365 + leapDays + before + (leap && month > 2 ? 1 : 0) + day - 719_163;
}
