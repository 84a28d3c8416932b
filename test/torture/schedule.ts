import type { Random } from '../harness/seed.ts';

/** Something that goes wrong. `collector` counts from 0; times are milliseconds. */
export type Fault =
  | { readonly kind: 'killCollector'; readonly collector: number; readonly downMs: number }
  | { readonly kind: 'haltCollector'; readonly collector: number; readonly forMs: number }
  | { readonly kind: 'crashPostgres'; readonly downMs: number }
  | { readonly kind: 'crashBackend' }
  | { readonly kind: 'haltPostgres'; readonly forMs: number }
  | { readonly kind: 'cutDatabase' }
  | { readonly kind: 'jumpClock'; readonly byMs: number; readonly agreed: boolean }
  | { readonly kind: 'storm'; readonly forMs: number }
  | { readonly kind: 'slowAppends'; readonly forMs: number }
  | { readonly kind: 'changeDelay'; readonly toMs: number };

/** After a pause a fault begins, which goes on beside the next ones; or everything heals, and nothing happens for a while. */
export type Step =
  | { readonly afterMs: number; readonly fault: Fault }
  | { readonly afterMs: number; readonly calmMs: number };

const hourMs = 3_600_000;

/**
 * A run's faults, about as long as wanted: calm at both ends and now and then between. Every kind comes before any comes again.
 */
export function makeSchedule(random: Random, durationMs: number, collectors: number): readonly Step[] {
  const edgeMs = Math.min(5_000, durationMs / 6);
  const steps: Step[] = [{ afterMs: 0, calmMs: edgeMs }];
  let atMs = edgeMs;
  let calmAtMs = atMs + 20_000;
  let deck: Fault['kind'][] = [];
  while (atMs < durationMs - edgeMs) {
    if (atMs > calmAtMs && durationMs - atMs > 3 * edgeMs) {
      steps.push({ afterMs: 500, calmMs: edgeMs });
      atMs += 500 + edgeMs;
      calmAtMs = atMs + 20_000;
    }
    if (deck.length === 0) deck = shuffle(random, faultKinds);
    const kind = deck.pop();
    if (kind === undefined) break;
    const afterMs = 150 + random.below(900);
    steps.push({ afterMs, fault: makeFault(random, kind, collectors) });
    atMs += afterMs;
  }
  steps.push({ afterMs: 500, calmMs: edgeMs });
  return steps;
}

/** Some kinds come more often than others. */
const faultKinds: readonly Fault['kind'][] = [
  'killCollector',
  'killCollector',
  'haltCollector',
  'haltCollector',
  'crashPostgres',
  'crashBackend',
  'haltPostgres',
  'cutDatabase',
  'jumpClock',
  'jumpClock',
  'storm',
  'slowAppends',
  'changeDelay',
  'changeDelay',
];

function makeFault(random: Random, kind: Fault['kind'], collectors: number): Fault {
  const collector = random.below(collectors);
  switch (kind) {
    case 'killCollector':
      return { kind, collector, downMs: random.below(1_000) };
    case 'haltCollector':
      return { kind, collector, forMs: 100 + random.below(4_000) };
    case 'crashPostgres':
      return { kind, downMs: random.below(1_500) };
    case 'haltPostgres':
      return { kind, forMs: 200 + random.below(2_500) };
    case 'jumpClock': {
      const byMs = random.number() < 0.8 ? hourMs : 1_000 + random.below(30_000);
      return { kind, byMs: random.number() < 0.5 ? byMs : -byMs, agreed: random.number() < 0.6 };
    }
    case 'storm':
    case 'slowAppends':
      return { kind, forMs: 1_000 + random.below(4_000) };
    case 'changeDelay':
      return { kind, toMs: random.below(3) * 1_000 };
    case 'crashBackend':
    case 'cutDatabase':
    default:
      return { kind };
  }
}

/** For example `9 faults (killCollector 4, crashPostgres 5) and 2 calms in 12 s`. */
export function describeSchedule(schedule: readonly Step[]): string {
  const faults = schedule.flatMap((step) => ('fault' in step ? [step.fault.kind] : []));
  const counted = [...new Set(faults)].map(
    (kind) => `${kind} ${faults.filter((one) => one === kind).length}`,
  );
  const ms = schedule.reduce((sum, step) => sum + step.afterMs + ('calmMs' in step ? step.calmMs : 0), 0);
  const calms = schedule.length - faults.length;
  return `${faults.length} faults (${counted.join(', ')}) and ${calms} calms in ${Math.round(ms / 1_000)} s`;
}

function shuffle<T>(random: Random, values: readonly T[]): T[] {
  const shuffled = [...values];
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    const [a, b] = [shuffled[at], shuffled[other]];
    if (a !== undefined && b !== undefined) [shuffled[at], shuffled[other]] = [b, a];
  }
  return shuffled;
}
