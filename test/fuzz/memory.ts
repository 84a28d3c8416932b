/** What a collector says of its own memory, in MiB. */
export interface MemorySample {
  readonly resident: number;
  readonly heap: number;
}

export async function memoryOf(url: string): Promise<MemorySample> {
  const metrics = await metricsOf(url);
  const read = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1]) / 1_048_576;
  return { resident: read('process_resident_memory_bytes'), heap: read('nodejs_heap_size_used_bytes') };
}

/** How many requests a collector has failed at. */
export async function failuresOf(url: string): Promise<number> {
  const counted = /^tidemark_problems_total\{code="internal"\} (\d+)$/m.exec(await metricsOf(url));
  return Number(counted?.[1] ?? 0);
}

async function metricsOf(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

/**
 * By how many MiB the memory that stays has grown between the second fifth of a run and its last. The least of many samples is what is
 * left after collections; the first fifth is warming up.
 */
export function growthOf(samples: readonly MemorySample[]): MemorySample {
  const fifth = Math.floor(samples.length / 5);
  const least = (part: readonly MemorySample[], name: keyof MemorySample) =>
    Math.min(...part.map((sample) => sample[name]));
  const early = samples.slice(fifth, 2 * fifth);
  const late = samples.slice(-fifth);
  return {
    resident: least(late, 'resident') - least(early, 'resident'),
    heap: least(late, 'heap') - least(early, 'heap'),
  };
}
