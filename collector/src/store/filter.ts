/** Which events of a stream a reader wants: those that agree with all of it. */
export interface Filter {
  /** Any of these, none of which has a comma in it. */
  readonly names: readonly string[] | undefined;
  readonly key: string | undefined;
  /** One of `count` parts that together are all events; `index` counts from 0. Events with the same key are in the same part. */
  readonly shard: Shard | undefined;
}

export interface Shard {
  readonly index: number;
  readonly count: number;
}

/**
 * The filter as a condition on `tidemark.events`. It takes four parameters, from the number given on, which are null where they do not
 * matter: plans are made for the parameters at hand, so that what is null costs nothing.
 *
 * The shard is that of the first 32 bits of a hash that means the same everywhere and for ever: Postgres' own may change with its version.
 */
export function filterCondition(first: number): string {
  const [names, key, index, count] = [first, first + 1, first + 2, first + 3].map((number) => `$${number}`);
  return `(${names}::text is null or name = any (string_to_array(${names}::text, ',')))
      and (${key}::text is null or key = ${key}::text)
      and (${index}::bigint is null
        or ('x' || substr(md5(coalesce(key, id)), 1, 8))::bit(32)::bigint % ${count}::bigint = ${index}::bigint)`;
}

/** The values of the four parameters. */
export function filterValues({ names, key, shard }: Filter): readonly (string | number | null)[] {
  return [names?.join(',') ?? null, key ?? null, shard?.index ?? null, shard?.count ?? null];
}
