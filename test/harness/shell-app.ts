import { Hono } from 'hono';
import { createPreflight } from '../../collector/src/http/cors.ts';
import { createErrorHandler, createNotFound } from '../../collector/src/http/problem.ts';
import { createReplies, type Replies } from '../../collector/src/http/respond.ts';
import { createShell } from '../../collector/src/http/shell.ts';
import { createLog } from '../../collector/src/log.ts';
import { createMetrics, type Metrics } from '../../collector/src/metrics.ts';
import { createFakeClock, type FakeClock } from './clock.ts';

/** The HTTP shell alone, with the routes a test brings, and what it wrote to its log. */
export interface ShellApp {
  readonly app: Hono;
  readonly replies: Replies;
  readonly metrics: Metrics;
  readonly clock: FakeClock;
  readonly logged: string[];
}

export function createShellApp(options: { pressure?: () => number } = {}): ShellApp {
  const clock = createFakeClock();
  const metrics = createMetrics();
  const logged: string[] = [];
  const log = createLog({ level: 'debug', destination: { write: (line) => logged.push(line) } });
  const replies = createReplies({ pressure: options.pressure ?? (() => 0), metrics });
  const app = new Hono();
  app.use(createShell({ replies, log, clock, metrics }));
  app.options('*', createPreflight(app));
  app.onError(createErrorHandler({ replies, log, clock }));
  app.notFound(createNotFound(app, replies));
  return { app, replies, metrics, clock, logged };
}
