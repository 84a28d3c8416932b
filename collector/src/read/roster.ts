import type { ConsumerStore, ConsumerSummaryRow } from '../store/consumers.ts';
import { type ConsumerName, type ConsumerRefusal, type FoundConsumer, found, placeOf } from './consumers.ts';
import type { PageRefusal, Start } from './page.ts';

export interface PutConsumer extends ConsumerName {
  /** Where it begins if it is new. */
  readonly start: Start;
  /** Undefined: one, or as many as it has. */
  readonly shards: number | undefined;
}

export interface RosterOptions {
  /** Most consumers of a stream. */
  readonly consumersMax: number;
  /** Of a consumer that does not say how many it wants. */
  readonly shardsDefault: number;
}

/** Which consumers a stream has. */
export function createRoster(store: ConsumerStore, { consumersMax, shardsDefault }: RosterOptions) {
  async function get({ stream, name }: ConsumerName): Promise<FoundConsumer | ConsumerRefusal> {
    return found(await store.read(stream, name));
  }

  return {
    get,

    /** Makes a consumer. One that is there stays as it is, wherever it stands. */
    async put(wanted: PutConsumer): Promise<FoundConsumer | ConsumerRefusal> {
      const { stream, name, start, shards } = wanted;
      const state = await store.read(stream, name);
      if (state === undefined) return { refused: 'stream_not_found' };
      if (state.consumer === undefined) {
        const place = placeOf(start, state.head);
        if ('refused' in place) return place;
        const consumer = { streamId: state.streamId, name, shards: shards ?? shardsDefault, ...place };
        if (!(await store.create({ ...consumer, consumersMax }))) {
          const now = await store.read(stream, name);
          return { refused: now === undefined ? 'stream_not_found' : 'too_many_consumers' };
        }
      }
      const made = found(state.consumer === undefined ? await store.read(stream, name) : state);
      if ('refused' in made) return made;
      const existing = made.consumer.shards.length;
      return existing === (shards ?? existing) ? made : { refused: 'consumer_conflict', shards: existing };
    },

    async list(stream: string): Promise<readonly ConsumerSummaryRow[] | PageRefusal> {
      return (await store.list(stream)) ?? { refused: 'stream_not_found' };
    },

    async remove(consumer: ConsumerName): Promise<true | ConsumerRefusal> {
      const state = await get(consumer);
      if ('refused' in state) return state;
      return (await store.remove(state.consumer.consumerId)) ? true : { refused: 'consumer_not_found' };
    },
  };
}
