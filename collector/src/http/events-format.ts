/** How events are given: a page as JSON, a page as lines, or live. */
export type EventsFormat = 'json' | 'lines' | 'live';

export const contentTypes: Readonly<Record<EventsFormat, string>> = {
  json: 'application/json',
  lines: 'application/x-ndjson',
  live: 'text/event-stream; charset=utf-8',
};

/** What `Accept` asks for: the first of ours that it names; JSON where it names none. */
export function chooseFormat(accept: string | undefined): EventsFormat {
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))) continue;
    if (type === 'application/json') return 'json';
    if (type === 'application/x-ndjson' || type === 'application/ndjson') return 'lines';
    if (type === 'text/event-stream') return 'live';
  }
  return 'json';
}
