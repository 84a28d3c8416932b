import type { TrackOptions } from './serialise.ts';

/** Any name with any props: what a client takes that was made without a map of events. */
export type AnyEvents = { readonly [name: string]: object };

/** A map from event names to their props: `{ signup: { plan: string }; ping: undefined }`. Interfaces fit as well. */
export type EventShapes<Events> = { readonly [Name in keyof Events]: object | undefined };

/** What follows the name in `track()`: props may be left out where none of them is required. */
export type TrackArguments<Props> = [Props] extends [undefined]
  ? [props?: undefined, options?: TrackOptions]
  : Partial<Props> extends Props
    ? [props?: Props, options?: TrackOptions]
    : [props: Props, options?: TrackOptions];
