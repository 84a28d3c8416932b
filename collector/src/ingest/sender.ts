import type { AppendRow } from '../store/append.ts';
import type { Settings } from './settings.ts';
import { userAgentCharacters } from '@tidemark/core/wire';

/** Who sent a request, as far as that is known. */
export interface Sender {
  /** In its plain form. */
  readonly ip: string | null;
  readonly userAgent: string | null;
}

/** Rows with what their streams ask for of their sender, and no more: what nobody asks for is not even looked at. */
export function withSender(
  rows: readonly AppendRow[],
  asks: Settings['asks'],
  senderOf: () => Sender,
): readonly AppendRow[] {
  if (!rows.some(({ stream }) => asks(stream) !== undefined)) return rows;
  const { ip, userAgent } = senderOf();
  return rows.map((row) => {
    const asked = asks(row.stream);
    if (asked === undefined) return row;
    return {
      ...row,
      ip: ip === null || asked.clientIp === 'never' ? null : asked.clientIp === 'whole' ? ip : networkOf(ip),
      userAgent: asked.userAgent ? (userAgent?.slice(0, userAgentCharacters) ?? null) : null,
    };
  });
}

/** Of an IPv4 address the first 24 bits, of an IPv6 address the first 48. */
function networkOf(ip: string): string {
  if (!ip.includes(':')) return `${ip.split('.').slice(0, 3).join('.')}.0`;
  const [before = '', behind] = ip.split('::');
  const first = before === '' ? [] : before.split(':');
  const last = behind === undefined || behind === '' ? [] : behind.split(':');
  const zeros = behind === undefined ? 0 : 8 - first.length - last.length;
  const groups = [...first, ...Array<string>(zeros).fill('0'), ...last];
  return `${groups.slice(0, 3).join(':')}::`;
}
