import type { Live } from './live.ts';
import type { Placed } from '../store/page.ts';
import type { EventPage, PageRefusal, PageRequest, Reader } from './page.ts';

/** The request that goes on where a page ended. */
export function after(
  request: PageRequest,
  { head, next }: Pick<EventPage<Placed>, 'head' | 'next'>,
): PageRequest {
  const cursor = { identity: head.identity, epoch: head.epoch, position: next };
  return { ...request, start: { at: 'cursor', cursor } };
}

/**
 * A page with at least one event, as soon as there is one; an empty one when `until` is passed, or when the signal is aborted. What a
 * filter does not want ends no wait, and the place moves on meanwhile, so that "latest" does not move away and nothing is looked at twice.
 */
export async function awaitPage<Event extends Placed>(
  { reader, live }: { readonly reader: Reader<Event>; readonly live: Live },
  request: PageRequest,
  signal: AbortSignal,
): Promise<EventPage<Event> | PageRefusal> {
  let page = await reader.page(request);
  if ('refused' in page) return page;
  let { gap } = page;
  while (page.events.length === 0 && !page.hasMore) {
    const more = await live.next(request.streamId, page.next, request.until, signal);
    const next: EventPage<Event> | PageRefusal = await reader.page(after(request, page));
    if ('refused' in next) return next;
    page = next;
    gap ??= page.gap;
    if (!more) break;
  }
  return gap === undefined ? page : { ...page, gap };
}
