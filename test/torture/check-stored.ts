import type { Finding } from './finding.ts';
import type { StreamHistory } from './history.ts';

/**
 * That what is stored is what was sent: everything acknowledged (G1; only at the end can that be said), each once (G2), unchanged,
 * and nothing else.
 */
export function checkStored({ sent, full }: StreamHistory, complete: boolean): Finding[] {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  for (const page of full.pages) {
    for (const event of page.events) {
      const was = sent.get(event.id);
      const at = (kind: Finding['kind'], detail: string) =>
        findings.push({ kind, atMs: page.answeredMs, detail: `${event.id} ${detail}` });
      if (seen.has(event.id)) at('storedTwice', 'is stored twice');
      seen.add(event.id);
      if (was?.sentMs === undefined) at('neverSent', 'was never sent as a whole');
      else if (was.number !== event.number) at('altered', 'came back with other props');
      else if (was.occurredAt !== undefined && was.occurredAt !== event.eventTime) {
        at('altered', `happened at ${was.occurredAt} and came back with ${event.eventTime}`);
      }
    }
  }
  if (!complete) return findings;
  for (const { id, acknowledgedMs } of sent.values()) {
    if (acknowledgedMs !== undefined && !seen.has(id)) {
      findings.push({ kind: 'lost', atMs: undefined, detail: `${id} was acknowledged and cannot be read` });
    }
  }
  return findings;
}

/** That readers get every row there is. */
export function checkRows({ rows, full }: StreamHistory): Finding[] {
  const read = full.pages.reduce((sum, page) => sum + page.events.length, 0);
  if (rows === undefined || rows === read) return [];
  return [{ kind: 'hidden', atMs: undefined, detail: `${rows} rows are stored, ${read} can be read` }];
}
