/**
 * How many of a consumer's shards a member should have.
 *
 * The shards are shared out evenly among all members that have or want some. Where they cannot be divided, those are entitled to one
 * more who have most already (of equals the first by name), so that nothing moves without need. A member above its share gives
 * shards back, one below it asks for more: so a newcomer gets its part within the time in which the others renew their leases. A
 * member is never told to have none: what is free goes to whoever comes first.
 */
export function shareOf(
  shards: number,
  member: string,
  /** How many shards each member has now, for all that have any. */
  held: ReadonlyMap<string, number>,
  /** Other members that want shards and have none. */
  waiting: number,
): number {
  const own = held.get(member) ?? 0;
  const others = [...held].filter(([name]) => name !== member);
  const members = others.length + waiting + 1;
  const even = Math.floor(shards / members);
  const entitledToMore = shards % members;
  const before = others.filter(([name, count]) => count > own || (count === own && name < member)).length;
  return Math.max(1, before < entitledToMore ? even + 1 : even);
}
