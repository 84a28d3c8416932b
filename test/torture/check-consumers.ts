import { checkOrder } from './check-chain.ts';
import type { Finding } from './finding.ts';
import { grouped } from './grouped.ts';
import type { Chain, ConsumerWork, SeenEvent, WorkedPage } from './history.ts';

/**
 * That the committed work of a consumer, all shards and members together, is every event once (G6), whatever leases were lost: each shard's
 * committed pages follow each other from its first cursor to its last. A commit without an answer counts where the next one begins at its end.
 */
export function checkConsumer({ consumer, starts, ends, pages }: ConsumerWork, full: Chain): Finding[] {
  const findings: Finding[] = [];
  const given = new Map<string, number>();
  const byCursor = new Map<string, SeenEvent>();
  for (const [shard, start] of starts.entries()) {
    const end = ends[shard] ?? start;
    const own = pages.filter((page) => page.shard === shard);
    const path = pathOf(own, start, end);
    const reader = `${consumer}, shard ${shard}`;
    if ((path.at(-1)?.next ?? start) !== end) {
      const detail = `${reader} stands where no committed page ends`;
      findings.push({ kind: 'skipped', atMs: path.at(-1)?.answeredMs, detail });
    }
    for (const page of own) {
      if (!page.certain || path.includes(page)) continue;
      const detail = `${page.member} committed a page of ${reader} that another had committed`;
      findings.push({ kind: 'repeated', atMs: page.answeredMs, detail });
    }
    findings.push(...checkOrder({ reader, start, pages: path }));
    for (const event of path.flatMap((page) => page.events)) {
      given.set(event.cursor, (given.get(event.cursor) ?? 0) + 1);
      byCursor.set(event.cursor, event);
    }
  }
  const end = ends.reduce((least, cursor) => (cursor < least ? cursor : least), ends[0] ?? '');
  for (const { answeredMs, events } of full.pages) {
    for (const event of events) {
      const times = given.get(event.cursor) ?? 0;
      const say = (kind: Finding['kind'], what: string) =>
        findings.push({ kind, atMs: answeredMs, detail: `${consumer} ${what} ${event.id}` });
      if (times > 1) say('repeated', 'worked in several shards on');
      if (times === 0 && event.cursor <= end) say('skipped', 'never worked on');
      if (times > 0 && byCursor.get(event.cursor)?.id !== event.id)
        say('disagreed', 'was given another in place of');
      given.delete(event.cursor);
    }
  }
  const lastFull = full.pages.at(-1)?.next ?? full.start;
  for (const cursor of given.keys()) {
    if (cursor > lastFull) continue;
    const detail = `${consumer} worked on ${byCursor.get(cursor)?.id}, which the full read does not have`;
    findings.push({ kind: 'disagreed', atMs: undefined, detail });
  }
  return findings;
}

/** Committed pages one after the other. */
function pathOf(pages: readonly WorkedPage[], start: string, end: string): readonly WorkedPage[] {
  const byFrom = grouped(pages, (page) => page.from);
  const path: WorkedPage[] = [];
  for (let place = start; place !== end; ) {
    const candidates = byFrom.get(place) ?? [];
    const step =
      candidates.find((page) => page.certain) ??
      candidates.find((page) => page.next === end || byFrom.has(page.next));
    if (step === undefined || step.next <= place) return path;
    path.push(step);
    place = step.next;
  }
  return path;
}
