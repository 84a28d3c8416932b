import type { TrackOptions } from '@tidemark/core';

export interface AutoOptions {
  /** The name of the event for a page that is shown, also by the History API; false: none. Default `page viewed`. */
  readonly pageViews?: string | false;
  /** The name of the event for a click on a link to another site; false: none. Default `outbound link clicked`. */
  readonly outboundLinks?: string | false;
}

/** A client made without a map of events, or one whose map has these events. */
export interface Tracker {
  track(name: string, props: object, options?: TrackOptions): void;
}

/**
 * Tracks page views (`url`, `path`, `title`, `referrer`; within a single-page application the referrer is the page before) and clicks that leave
 * the site (`url`, `text`). Neither queries nor fragments of addresses are taken: they may name persons. Returns a function that ends it. Where there is no
 * page it does nothing.
 */
export function captureAutomatically(
  client: Tracker,
  { pageViews = 'page viewed', outboundLinks = 'outbound link clicked' }: AutoOptions = {},
): () => void {
  if (!('document' in globalThis)) return () => {};
  const listening = new AbortController();
  const { signal } = listening;
  let shown: string | undefined;

  if (pageViews !== false) {
    view();
    addEventListener('popstate', view, { signal });
    watchHistory(view, signal);
  }
  if (outboundLinks !== false) {
    for (const type of ['click', 'auxclick'])
      document.addEventListener(type, click, { signal, capture: true });
  }
  return () => listening.abort();

  function view(): void {
    const url = addressOf(location);
    if (pageViews === false || shown === url) return;
    const referrer = shown ?? (document.referrer && addressOf(new URL(document.referrer)));
    shown = url;
    client.track(pageViews, { url, path: location.pathname, title: document.title, referrer });
  }

  function click(event: Event): void {
    // Other buttons than the main and the middle one follow no link.
    if (outboundLinks === false || (event instanceof MouseEvent && event.button > 1)) return;
    const link = event.composedPath().find((target) => target instanceof HTMLAnchorElement);
    if (!link || !/^https?:$/.test(link.protocol) || link.host === location.host) return;
    client.track(outboundLinks, { url: addressOf(link), text: link.textContent?.trim().slice(0, 128) ?? '' });
  }
}

/** `pushState` and `replaceState` have no event. They are put back, unless somebody else has wrapped them meanwhile. */
function watchHistory(changed: () => void, signal: AbortSignal): void {
  for (const name of ['pushState', 'replaceState'] as const) {
    const original = history[name];
    const watched: History['pushState'] = (...step) => {
      original.apply(history, step);
      // The application sets its title after the step. A page that ends first is seen as well: nothing is waited for.
      if (!signal.aborted) queueMicrotask(changed);
    };
    history[name] = watched;
    signal.addEventListener('abort', () => {
      if (history[name] === watched) history[name] = original;
    });
  }
}

function addressOf({ origin, pathname }: { readonly origin: string; readonly pathname: string }): string {
  return origin + pathname;
}
