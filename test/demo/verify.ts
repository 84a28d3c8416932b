import type { StoredEvent } from '@tidemark/core/wire';
import type { Flight } from './flights.ts';
import type { DemoRun } from './run.ts';

/** What is wrong with a run; empty when it is right. */
export function mistakesOf(flights: readonly Flight[], run: DemoRun): readonly string[] {
  const { accepted, duplicates, losses, events } = run;
  const mistakes = [...losses];
  const expect = (holds: boolean, mistake: string): void => {
    if (!holds) mistakes.push(mistake);
  };

  expect(
    accepted + duplicates === flights.length,
    `${accepted} accepted and ${duplicates} duplicates of ${flights.length}`,
  );
  if (!run.again) expect(duplicates === 0, `${duplicates} of a new stream's events are duplicates`);
  expect(events.length === flights.length, `${events.length} events came back of ${flights.length}`);
  expect(new Set(events.map(({ id }) => id)).size === events.length, 'some events came back twice');

  const byId = new Map(flights.map((flight) => [flight.id, flight]));
  const changed = events.filter((event) => !isFlight(event, byId.get(event.id)));
  expect(changed.length === 0, `${changed.length} events came back changed: ${changed[0]?.id}`);
  const displaced = events.filter(({ orderTime, occurredAt, late }) => orderTime !== occurredAt || late);
  expect(displaced.length === 0, `${displaced.length} events are not at their own time: ${displaced[0]?.id}`);
  const misplaced = events.filter((event, at) => !follows(event, events[at - 1]));
  expect(misplaced.length === 0, `${misplaced.length} events are out of order: ${misplaced[0]?.id}`);
  return mistakes;
}

function isFlight(event: StoredEvent, flight: Flight | undefined): boolean {
  return (
    flight !== undefined &&
    event.key === flight.origin &&
    Date.parse(event.occurredAt ?? '') === flight.scheduledMs &&
    event.props?.['destination'] === flight.destination &&
    event.props['distanceMiles'] === flight.distanceMiles &&
    event.props['delayMinutes'] === flight.delayMinutes
  );
}

/** Times of one form and cursors of one stream sort as texts do. */
function follows(event: StoredEvent, before: StoredEvent | undefined): boolean {
  return before === undefined || (before.orderTime <= event.orderTime && before.cursor < event.cursor);
}
