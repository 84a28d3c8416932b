import { createHash } from 'node:crypto';
import { parseTime, type RejectionCode } from '@tidemark/core/wire';
import { type DecodeContext, type DecodedEvent, decodeEventText, type Rejection } from './decode-event.ts';
import { type Members, memberText, objectText } from './decode-members.ts';

/** A CloudEvent as it came: its size and, for the dead letter, its text. */
export interface SentCloudEvent {
  readonly bytes: number;
  readonly raw: string;
  readonly truncated: boolean;
}

/**
 * Makes a CloudEvent ours: `type` becomes the name, `time` occurredAt, `partitionkey` or else `subject` the key, `source` and `id`
 * together the id. Props are its other members as they were sent, `source`, `id` and `subject` among them; a `time` that cannot be
 * read stays there too.
 */
export function eventOfCloudEvent(
  members: Members,
  sent: SentCloudEvent,
  index: number,
  context: DecodeContext,
): DecodedEvent | Rejection {
  const { limits } = context;
  const reject = (code: RejectionCode, message: string): Rejection => ({
    index,
    id: null,
    stream: context.defaultStream,
    key: memberText(members, 'partitionkey') ?? memberText(members, 'subject') ?? null,
    code,
    message,
    raw: sent.raw,
    truncated: sent.truncated,
  });
  if (sent.bytes > limits.eventBytes)
    return reject('event_too_large', `the event has ${sent.bytes} bytes, the limit is ${limits.eventBytes}`);
  const missing = required.find((name) => (memberText(members, name) ?? '') === '');
  if (missing !== undefined) return reject('invalid_event', `a CloudEvent must have a text \`${missing}\``);
  if (!versionOne.test(memberText(members, 'specversion') ?? ''))
    return reject('invalid_event', 'the `specversion` of a CloudEvent must be 1.0');

  const id = identityOf(
    memberText(members, 'source') ?? '',
    memberText(members, 'id') ?? '',
    limits.idCharacters,
  );
  const fields: Members = new Map([['id', JSON.stringify(id)]]);
  copy(members, 'type', fields, 'name');
  copy(members, 'time', fields, 'occurredAt');
  copy(members, 'subject', fields, 'key');
  copy(members, 'partitionkey', fields, 'key');
  fields.set('props', objectText(Array.from(members).filter(([name]) => !isElsewhere(name, members))));
  // Its size was checked as sent, and what it nests is now one level deeper.
  const unlimited = { ...context, limits: { ...limits, eventBytes: Number.POSITIVE_INFINITY } };
  const outcome = decodeEventText(objectText(fields), index, unlimited, limits.jsonDepth + 1);
  return 'code' in outcome ? { ...outcome, raw: sent.raw, truncated: sent.truncated } : outcome;
}

const required = ['specversion', 'id', 'source', 'type'];
const versionOne = /^1\.\d+$/;

function copy(from: Members, name: string, to: Members, field: string): void {
  const value = from.get(name);
  if (value !== undefined && value !== 'null') to.set(field, value);
}

/** Whether a member needs no place in props, because a field of the event holds it. */
function isElsewhere(name: string, members: Members): boolean {
  if (name === 'time') return parseTime(memberText(members, 'time') ?? '') !== undefined;
  return name === 'type' || name === 'specversion';
}

/**
 * One id for the two parts of a CloudEvent's identity, another for every other pair: `source id` where the source has no space
 * (a URI has none) and it is short enough, else a hash of both.
 */
export function identityOf(source: string, id: string, charactersMax: number): string {
  const joined = `${source} ${id}`;
  if (!source.includes(' ') && joined.length <= charactersMax) return joined;
  return `ce-sha256:${createHash('sha256')
    .update(JSON.stringify([source, id]))
    .digest('hex')}`;
}
