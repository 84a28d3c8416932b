import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { bundleUnnamed } from './bundle.ts';
import { internalNames } from './internal-names.ts';
import knownNames from './known-names.json' with { type: 'json' };
import { createNaming, type Names } from './names.ts';

/**
 * Looks for names with which the file for pages compresses better, from those that are known on, and writes them down. What compresses well is
 * a matter of luck: this takes minutes and saves one byte in a hundred, so it is not part of the build.
 *
 *     pnpm --filter @tidemark/browser names [rounds]
 */
const rounds = Number(process.argv[2] ?? 10_000);

const { small } = await bundleUnnamed('index');
const naming = createNaming(small, internalNames, 'module');
if (naming === undefined) throw new Error('the names of this program may not be changed');
const all = naming.groups;
const [some, others] = [naming.choose(knownNames), naming.choose({})];
let best = naming.bytes(some) < naming.bytes(others) ? some : others;
let bytes = naming.bytes(best);
for (let round = 0; round < rounds; round++) {
  const next = change(best);
  const nextBytes = next === undefined ? Infinity : naming.bytes(next);
  // What is no worse is another place to look from.
  if (next === undefined || nextBytes > bytes) continue;
  if (nextBytes < bytes) process.stdout.write(`round ${round}: ${nextBytes} bytes\n`);
  best = next;
  bytes = nextBytes;
}
const found = [...best].map(([{ key }, name]) => [key, name] as const).sort(([a], [b]) => (a < b ? -1 : 1));
await writeFile(
  new URL('known-names.json', import.meta.url),
  `${JSON.stringify(Object.fromEntries(found), null, 2)}\n`,
);

/** One group has the name that another has, or they have each other's. */
function change(names: Names): Names | undefined {
  const [group, other] = [pick(all), pick(all)];
  const [own, name] = [names.get(group) ?? '', names.get(other) ?? ''];
  const moved = new Map(names).set(group, name);
  if (naming?.isFree(moved, group, name)) return moved;
  const swapped = moved.set(other, own);
  return naming?.isFree(swapped, group, name) && naming.isFree(swapped, other, own) ? swapped : undefined;
}

function pick<Value>(values: readonly Value[]): Value {
  return values[randomInt(values.length)] as Value;
}
