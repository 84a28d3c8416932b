import { formatTime, paths } from '@tidemark/core/wire';
import { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { createProblem, ProblemError } from '../errors.ts';
import { keyIdPattern, type Keys, type ListedKey } from '../store/keys.ts';
import type { Authenticate } from './authenticate.ts';
import { createKey } from './authenticate-key.ts';
import { readJsonBody } from './json-body.ts';
import { keyBody, newKeyOf } from './key-body.ts';
import { readWhole } from './query-parameter.ts';
import type { Replies } from './respond.ts';

export interface KeysDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly keys: Pick<Keys, 'add' | 'list' | 'revoke'>;
  readonly clock: Pick<Clock, 'randomBytes'>;
}

/** Keys of a list: the default and the most. */
export const keysPage = { default: 100, max: 1_000 } as const;

/** `POST` and `GET /v1/keys`, `DELETE /v1/keys/{id}`: for the admin. A key is shown in the answer that makes it, and never again. */
export function createKeysRoute({ authenticate, replies, keys, clock }: KeysDependencies): Hono {
  return new Hono()
    .post(paths.keys, async (context) => {
      await authenticate(context, { role: 'admin' });
      const body = await readJsonBody(context.req, keyBody, { role: 'write', streams: ['orders'] });
      const { key, hash } = createKey(body.role, clock.randomBytes);
      const id = await keys.add(newKeyOf(body, hash));
      return replies.json({ id, key });
    })
    .get(paths.keys, async (context) => {
      await authenticate(context, { role: 'admin' });
      const limit = readWhole('limit', context.req.query('limit'), keysPage);
      const after = context.req.query('cursor');
      if (after !== undefined && !keyIdPattern.test(after)) throw badCursor();
      const page = await keys.list(after, limit);
      const last = page.at(-1);
      return replies.json({
        keys: page.map(describeKey),
        nextCursor: page.length === limit && last !== undefined ? last.keyId : null,
      });
    })
    .delete(`${paths.keys}/:id`, async (context) => {
      await authenticate(context, { role: 'admin' });
      const id = context.req.param('id');
      const revokedAt = keyIdPattern.test(id) ? await keys.revoke(id) : undefined;
      if (revokedAt === undefined) throw keyNotFound(id);
      return replies.json({ id, revokedAt: formatTime(revokedAt) });
    });
}

/** All that is known of a key, which is not the key. */
export function describeKey(key: ListedKey) {
  return {
    id: key.keyId,
    role: key.role,
    streams: key.streams,
    origins: key.origins,
    quotas: { eventsPerSecond: key.eventsPerSecond, bytesPerSecond: key.bytesPerSecond },
    defaultStream: key.defaultStream,
    createdAt: formatTime(key.createdAt),
    revokedAt: key.revokedAt === null ? null : formatTime(key.revokedAt),
  };
}

function badCursor(): ProblemError {
  return new ProblemError(
    createProblem('invalid_parameter', 'cursor must be the nextCursor of the list before'),
  );
}

function keyNotFound(id: string): ProblemError {
  const detail = `There is no key ${JSON.stringify(id.slice(0, 80))}. Keys that the environment sets end with their variable.`;
  return new ProblemError(createProblem('key_not_found', detail));
}
