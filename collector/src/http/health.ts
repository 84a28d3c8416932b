import { Hono } from 'hono';
import { createProblem } from '../errors.ts';
import type { Replies } from './respond.ts';

/** Whether requests should be sent here. */
export type Readiness =
  | { readonly ready: true }
  | { readonly ready: false; readonly reason: 'store_unavailable' | 'shutting_down' };

export interface HealthDependencies {
  readonly replies: Replies;
  readonly readiness: () => Readiness;
}

const reasons = {
  store_unavailable: 'Postgres cannot be reached.',
  shutting_down: 'This collector is closing.',
};

/** `GET /livez`: the process answers. `GET /readyz`: requests should come here. No key. */
export function createHealthRoute({ replies, readiness }: HealthDependencies): Hono {
  return new Hono()
    .get('/livez', () => replies.json({ live: true }))
    .get('/readyz', () => {
      const state = readiness();
      if (state.ready) return replies.json({ ready: true });
      return replies.problem(createProblem(state.reason, reasons[state.reason], { retryAfterMs: 1_000 }));
    });
}
