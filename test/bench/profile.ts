import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A `.cpuprofile` as V8 writes it, as far as we look. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

const shownPlaces = 25;

/** Where the processor was: the places with the most time of their own, of each process that left a profile in a folder. */
export async function describeProfiles(folder: string): Promise<string> {
  // CPU.<date>.<time>.<process>.<thread>.<number>: the others are threads of the loader.
  const files = (await readdir(folder)).filter((name) => /\.0\.\d+\.cpuprofile$/.test(name));
  const parts = files.map(async (file) => {
    const profile = JSON.parse(await readFile(join(folder, file), 'utf8')) as Profile;
    return `${join(folder, file)}\n${describeProfile(profile)}`;
  });
  return (await Promise.all(parts)).join('\n\n');
}

function describeProfile({ nodes, samples, timeDeltas }: Profile): string {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const files = new Map<string, number>();
  const places = new Map<string, number>();
  // What comes before the first event is the loading of modules.
  const start = samples.findIndex((id) => frames.get(id)?.url.includes('collector/src/ingest/decode'));
  let busy = 0;
  samples.forEach((id, at) => {
    const frame = frames.get(id);
    const micros = timeDeltas[at] ?? 0;
    if (at < start || frame === undefined || frame.functionName === '(idle)') return;
    busy += micros;
    add(files, fileOf(frame), micros);
    add(places, `${frame.functionName || '(anonymous)'}  ${fileOf(frame)}`, micros);
  });
  return `by file\n${mostOf(files, busy)}\nby function\n${mostOf(places, busy)}`;
}

function add(sums: Map<string, number>, name: string, value: number): void {
  sums.set(name, (sums.get(name) ?? 0) + value);
}

function mostOf(sums: ReadonlyMap<string, number>, whole: number): string {
  return [...sums]
    .sort(([, a], [, b]) => b - a)
    .slice(0, shownPlaces)
    .map(([name, value]) => `${((value / whole) * 100).toFixed(1).padStart(6)} %  ${name}`)
    .join('\n');
}

/** Without what all paths have in common. Functions have no lines here: the loader makes one of each file. */
function fileOf({ url }: Profile['nodes'][number]['callFrame']): string {
  if (url === '') return 'V8 and native code';
  return url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/(?=collector\/src\/|sdk-core\/src\/)|^.*\/node_modules\//, '');
}
