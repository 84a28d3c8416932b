import { formatTime, paths } from '@tidemark/core/wire';
import { Hono } from 'hono';
import type { BegunEpoch } from '../store/epochs.ts';
import type { Authenticate } from './authenticate.ts';
import type { Replies } from './respond.ts';

export interface EpochDependencies {
  readonly authenticate: Authenticate;
  readonly replies: Replies;
  readonly beginEpoch: () => Promise<BegunEpoch>;
}

/** `POST /v1/epoch`: for the admin, after a restore that Postgres gives no sign of. */
export function createEpochRoute({ authenticate, replies, beginEpoch }: EpochDependencies): Hono {
  return new Hono().post(paths.epoch, async (context) => {
    await authenticate(context, { role: 'admin' });
    const { streams, epochStart } = await beginEpoch();
    return replies.json({ streams, epochStart: formatTime(epochStart) });
  });
}
