import type { PrivatePostgres } from '../harness/private-postgres.ts';
import { makeBed } from './bed.ts';
import type { Bundle } from '../harness/bundle.ts';
import { chanceOf } from './chance.ts';
import { type Hunt, hunt } from './hunt.ts';
import { compareLocks, type LockComparison } from './locks.ts';
import { control, slowVariants, type Variant, wrongVariants } from './variants.ts';

/** Hunts on the same two collectors, one after the other. */
export interface Hunts {
  hunt(variant: Variant, deadlineMs: number): Promise<Hunt>;
  compareLocks(): Promise<LockComparison>;
  close(): Promise<void>;
}

export interface HuntsOptions {
  readonly seed: number;
  readonly postgres: PrivatePostgres;
  readonly bundle: Bundle;
  /** Ends a hunt early. */
  readonly signal: AbortSignal;
}

export interface HuntsReport {
  readonly hunts: readonly Hunt[];
  readonly locks: LockComparison;
}

/** Every wrong variant, and the product itself in the same conditions. */
export async function huntAll(options: HuntsOptions): Promise<HuntsReport> {
  const prepared = await prepareHunts(options);
  try {
    const hunts: Hunt[] = [];
    for (const variant of [...wrongVariants, ...slowVariants]) {
      hunts.push(await prepared.hunt(variant, wrongMsMax));
    }
    hunts.push(await prepared.hunt(control, controlMs));
    return { hunts, locks: await prepared.compareLocks() };
  } finally {
    await prepared.close();
  }
}

const wrongMsMax = 30_000;
const controlMs = 10_000;

export async function prepareHunts({ seed, postgres, bundle, signal }: HuntsOptions): Promise<Hunts> {
  const chance = chanceOf(seed);
  // Appends that pause need company: with a few writers more they go on side by side.
  const environment = { TIDEMARK_WRITE_CONNECTIONS: '8' };
  const bedOptions = { postgres, bundle, collectors: 2, environment };
  const bed = await makeBed(bedOptions);

  /** On a bed of its own, for the sake of its connections; one collector, so that advancers do not fail each other's transactions. */
  async function huntAlone(variant: Variant, deadlineMs: number): Promise<Hunt> {
    const alone = await makeBed({ ...bedOptions, collectors: 1, connection: variant.connection });
    try {
      return await hunt({ bed: alone, chance, deadlineMs, signal }, variant);
    } finally {
      await alone.close();
    }
  }

  return {
    hunt: (variant, deadlineMs) =>
      Object.keys(variant.connection).length === 0
        ? hunt({ bed, chance, deadlineMs, signal }, variant)
        : huntAlone(variant, deadlineMs),
    compareLocks: () => compareLocks(bed, chance),
    close: () => bed.close(),
  };
}
