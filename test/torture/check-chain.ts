import type { Finding } from './finding.ts';
import { type Chain, endOf, type SeenEvent } from './history.ts';

/** That a chain's events come one after the other, each once (G6). */
export function checkOrder(chain: Chain): Finding[] {
  const findings: Finding[] = [];
  const given = new Set<string>();
  let place = chain.start;
  let orderTime: bigint | undefined;
  for (const page of chain.pages) {
    for (const event of page.events) {
      if (given.has(event.cursor)) {
        findings.push(finding('repeated', page.answeredMs, `${chain.reader} was given ${event.id} again`));
      } else if (event.cursor <= place || (orderTime !== undefined && event.orderTime < orderTime)) {
        findings.push(
          finding('outOfOrder', page.answeredMs, `${chain.reader} was given ${event.id} too late`),
        );
      }
      given.add(event.cursor);
      if (event.cursor > place) place = event.cursor;
      orderTime = event.orderTime;
    }
    if (page.next > place) place = page.next;
    else if (page.next < place) {
      findings.push(finding('outOfOrder', page.answeredMs, `${chain.reader} was sent back by a nextCursor`));
    }
  }
  return findings;
}

/**
 * That a chain saw what the full read says it passed: no more, no less, and the same (G6, G7). What is missing was not there
 * when the chain was told that there is nothing more before its place; nothing may appear there afterwards.
 */
export function checkChain(chain: Chain, full: Chain): Finding[] {
  const findings = checkOrder(chain);
  const end = endOf(chain) < endOf(full) ? endOf(chain) : endOf(full);
  const expected = new Map<string, SeenEvent>();
  for (const page of full.pages) {
    for (const event of page.events) {
      if (event.cursor > chain.start && event.cursor <= end) expected.set(event.cursor, event);
    }
  }
  for (const page of chain.pages) {
    for (const event of page.events) {
      if (event.cursor > end) continue;
      const other = expected.get(event.cursor);
      if (other === undefined || !same(event, other)) {
        const detail = `${chain.reader} was given ${event.id}, the full read ${other === undefined ? 'nothing' : 'something else'} there`;
        findings.push(finding('disagreed', page.answeredMs, detail));
      }
    }
  }
  for (const page of chain.pages) for (const event of page.events) expected.delete(event.cursor);
  for (const event of expected.values()) {
    const passed = chain.pages.find((page) => page.next >= event.cursor);
    findings.push(finding('skipped', passed?.answeredMs, `${chain.reader} was never given ${event.id}`));
  }
  return findings;
}

function same(a: SeenEvent, b: SeenEvent): boolean {
  return (
    a.id === b.id &&
    a.orderTime === b.orderTime &&
    a.eventTime === b.eventTime &&
    a.late === b.late &&
    a.lateByMs === b.lateByMs
  );
}

function finding(kind: Finding['kind'], atMs: number | undefined, detail: string): Finding {
  return { kind, atMs, detail };
}
