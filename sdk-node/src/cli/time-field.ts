import { formatTime, parseTime } from '@tidemark/core/wire';

/**
 * A time as files have it, as RFC 3339: RFC 3339 itself; the same without a zone or without seconds, or a date alone, which are UTC;
 * seconds (up to 11 digits, with a fraction too), milliseconds (12 to 14) or microseconds (15 to 17) since 1970. Undefined: none of them.
 */
export function parseTimeField(text: string): string | undefined {
  const trimmed = text.trim();
  const number = /^(-?\d{1,17})(?:\.(\d+))?$/.exec(trimmed);
  if (number !== null) return fromNumber(number[1] ?? '', number[2]);
  const local = /^(\d{4})[-/](\d\d)[-/](\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?)?$/.exec(trimmed);
  const rfc =
    local === null
      ? trimmed
      : `${local[1]}-${local[2]}-${local[3]}T${local[4] ?? '00:00'}${local[5] ?? ':00'}Z`;
  const micros = parseTime(rfc);
  return micros === undefined ? undefined : formatTime(micros);
}

function fromNumber(whole: string, fraction: string | undefined): string | undefined {
  const digits = whole.replace('-', '').length;
  const unit = digits <= 11 ? 1_000_000n : digits <= 14 ? 1_000n : 1n;
  if (fraction !== undefined && unit !== 1_000_000n) return undefined;
  const rest = BigInt((fraction ?? '').slice(0, 6).padEnd(6, '0'));
  const micros = BigInt(whole) * unit + (whole.startsWith('-') ? -rest : rest);
  return micros < -62_135_596_800_000_000n || micros > 253_402_300_799_999_999n
    ? undefined
    : formatTime(micros);
}
