import type { AppendRow } from '../store/append.ts';
import type { ActiveSchema, SchemaCounts } from '../store/schemas.ts';
import type { AskingStream } from '../store/settings.ts';
import { type CheckProps, compileSchema } from './schema-compile.ts';

/**
 * Settings of streams as this collector knows them: what is asked for about requests, and the schemas. They are looked at every second;
 * while Postgres is away the last ones hold.
 */
export interface Settings {
  /** Undefined: nothing. */
  asks(stream: string): AskingStream | undefined;
  /** Resolves when settings are known. Rejects when they cannot be read. */
  known(): Promise<void>;
  /**
   * Why rows may not be stored; those that are missing may. What is only warned of is counted. Rejects when settings are not known and cannot
   * be read: nothing is stored unchecked.
   */
  refusalsOf(rows: readonly AppendRow[]): Promise<ReadonlyMap<AppendRow, string>>;
  /** Writes the counts that are left. */
  stop(): Promise<void>;
}

export interface SettingsDependencies {
  readonly readVersion: () => Promise<bigint>;
  readonly readAsking: () => Promise<readonly AskingStream[]>;
  readonly readSchemas: () => Promise<readonly ActiveSchema[]>;
  /** What streams asked for when that was last known: holds until it is read. */
  readonly initialAsking: readonly AskingStream[];
  readonly addCounts: (counts: readonly SchemaCounts[]) => Promise<void>;
  readonly onMismatch: (schema: Pick<ActiveSchema, 'stream' | 'name' | 'mode'>) => void;
  readonly onFailure: (error: unknown) => void;
  /** Resolves early when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

const lookMs = 1_000;

interface Schema extends ActiveSchema {
  /** Compiled when the first event needs it. */
  check: CheckProps | undefined;
}

export function startSettings(dependencies: SettingsDependencies): Settings {
  const stopped = new AbortController();
  let version: bigint | undefined;
  let asking = byStream(dependencies.initialAsking);
  let schemas: ReadonlyMap<string, Schema> = new Map();
  const counts = new Map<bigint, { warned: number; rejected: number }>();
  let looking: Promise<void> | undefined;

  /** The version first: what changes while the rest is read is seen at the next look. */
  async function look(): Promise<void> {
    const now = await dependencies.readVersion();
    if (now === version) return;
    const asked = await dependencies.readAsking();
    const active = await dependencies.readSchemas();
    const compiled = new Map([...schemas.values()].map((schema) => [schema.schemaId, schema]));
    asking = byStream(asked);
    schemas = new Map(
      active.map((one) => [
        placeOf(one.stream, one.name),
        compiled.get(one.schemaId) ?? { ...one, check: undefined },
      ]),
    );
    version = now;
  }

  function lookOnce(): Promise<void> {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  }

  async function writeCounts(): Promise<void> {
    if (counts.size === 0) return;
    const seen = [...counts].map(([schemaId, count]) => ({ schemaId, ...count }));
    counts.clear();
    try {
      await dependencies.addCounts(seen);
    } catch (error) {
      for (const { schemaId, warned, rejected } of seen) add(schemaId, warned, rejected);
      throw error;
    }
  }

  function add(schemaId: bigint, warned: number, rejected: number): void {
    const count = counts.get(schemaId) ?? { warned: 0, rejected: 0 };
    counts.set(schemaId, { warned: count.warned + warned, rejected: count.rejected + rejected });
  }

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      try {
        await lookOnce();
        await writeCounts();
      } catch (error) {
        dependencies.onFailure(error);
      }
      await dependencies.sleep(lookMs, stopped.signal);
    }
  }

  function refusalOf({ stream, name, props }: AppendRow): string | undefined {
    const schema = schemas.get(placeOf(stream, name));
    if (schema === undefined) return undefined;
    schema.check ??= checkOf(schema);
    const found = schema.check(JSON.parse(props ?? '{}'));
    if (found === undefined) return undefined;
    dependencies.onMismatch(schema);
    const enforced = schema.mode === 'enforce';
    add(schema.schemaId, enforced ? 0 : 1, enforced ? 1 : 0);
    return enforced ? found : undefined;
  }

  async function known(): Promise<void> {
    if (version === undefined) await lookOnce();
  }

  const running = run();

  return {
    asks: (stream) => asking.get(stream),
    known,
    async refusalsOf(rows) {
      await known();
      if (schemas.size === 0) return noRefusals;
      const refusals = new Map<AppendRow, string>();
      for (const row of rows) {
        const refusal = refusalOf(row);
        if (refusal !== undefined) refusals.set(row, refusal);
      }
      return refusals;
    },
    async stop() {
      stopped.abort();
      await running;
      await writeCounts().catch(dependencies.onFailure);
    },
  };
}

function byStream(asking: readonly AskingStream[]): ReadonlyMap<string, AskingStream> {
  return new Map(asking.map((one) => [one.stream, one]));
}

const noRefusals: ReadonlyMap<AppendRow, string> = new Map();

/** A stream's name has no blank. */
const placeOf = (stream: string, name: string): string => `${stream} ${name}`;

/** A schema was compiled before it was stored, perhaps by another version: one that this one cannot compile allows everything. */
function checkOf({ schema }: ActiveSchema): CheckProps {
  const compiled = compileSchema(JSON.parse(schema) as object);
  return compiled.ok ? compiled.check : () => undefined;
}
