import type { AnyEvents } from '@tidemark/core';
import type { PageEnd, StoredEvent } from '@tidemark/core/wire';

/** What readers get of a map of events: one kind for each name. Without a map, any. */
export type EventOf<Events> = string extends keyof Events
  ? StoredEvent
  : {
      [Name in keyof Events & string]: Omit<StoredEvent, 'name' | 'props'> & {
        readonly name: Name;
        readonly props: [Events[Name]] extends [undefined] ? StoredEvent['props'] : Events[Name];
      };
    }[keyof Events & string];

/** Some events in stream order, and where to go on after them. */
export interface EventPage<Events = AnyEvents> extends PageEnd {
  readonly events: readonly EventOf<Events>[];
}
