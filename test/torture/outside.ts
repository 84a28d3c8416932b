import type { Sql } from '../../collector/src/store/database.ts';

// What a run changes in the database of the collectors, from outside: a clock that can be moved, pauses inside the append, and
// later the wrong variants. Functions are changed by editing the text that the database has of them, so that a run is always
// about the product's own functions; an edit that finds nothing to change fails.

/** Where an append can be made to pause: before its locks, after them, after the places are chosen, and before it ends. */
export type PausePoint = 'begin' | 'locked' | 'placed' | 'stored';

/** Makes the schema `torture`. The database is migrated, and no collector runs on it yet. */
export async function installOutside(sql: Sql): Promise<void> {
  await sql.unsafe(schema);
  await editFunction(sql, 'clock', [
    [
      /\$function\$ *SELECT ([\s\S]*?) *\$function\$/,
      '$function$ SELECT $1 + (SELECT clock_offset FROM torture.clock) $function$',
    ],
  ]);
  await editFunction(sql, 'raise_floor', [
    [/\bwitness\b(?! bigint)/g, '(witness + (SELECT witness_offset FROM torture.clock))'],
  ]);
  await editFunction(sql, 'append', [
    [lockStatement, `${pause('begin')}\n  $&\n  ${pause('locked')}`],
    [/base := nextval/, `${pause('placed')}\n  $&`],
    [/RETURN taken;\s*END/, `${pause('stored')}\n  $&`],
  ]);
}

const schema = `
create schema torture;
create table torture.clock (one boolean primary key default true check (one), clock_offset bigint not null, witness_offset bigint not null);
insert into torture.clock (clock_offset, witness_offset) values (0, 0);
create table torture.pauses (at text not null, stream text, ms integer not null, share double precision not null);
create function torture.pause(at text, streams integer[]) returns void language plpgsql volatile as $$
declare
  ms double precision;
begin
  select max(p.ms) into ms from torture.pauses p
    where p.at = pause.at and random() < p.share
      and (p.stream is null or p.stream in (select s.name from tidemark.streams s where s.stream_id = any (streams)));
  if ms > 0 then perform pg_sleep(ms / 1000); end if;
end
$$;
`;

function pause(at: PausePoint): string {
  return `PERFORM torture.pause('${at}', row_streams);`;
}

/** The statement of `tidemark.append` that takes the locks. */
export const lockStatement = /PERFORM pg_advisory_xact_lock_shared\([\s\S]*?;/;

/** Appends that pause at a point for so long. */
export interface Pause {
  readonly at: PausePoint;
  readonly ms: number;
  /** Which part of them, 0–1. While some pause others go on, so that the watermark moves past those. */
  readonly share: number;
  /** Left out: of every stream. */
  readonly stream?: string;
}

export async function setPause(sql: Sql, { at, ms, share, stream }: Pause): Promise<void> {
  await sql`insert into torture.pauses (at, stream, ms, share) values (${at}, ${stream ?? null}, ${ms}, ${share})`;
}

export async function clearPauses(sql: Sql): Promise<void> {
  await sql`delete from torture.pauses`;
}

/** What to look for in a function's text, and what to put there. */
export type Edit = readonly [find: RegExp | string, replacement: string | ((found: string) => string)];

/** Changes a function of the schema `tidemark`. Answers with how to change it back. */
export async function editFunction(
  sql: Sql,
  name: string,
  edits: readonly Edit[],
): Promise<() => Promise<void>> {
  const rows = await sql<{ text: string }[]>`
    select pg_get_functiondef(oid) as text from pg_proc
    where pronamespace = 'tidemark'::regnamespace and proname = ${name}`;
  const [before] = rows;
  if (before === undefined || rows.length > 1) throw new Error(`there are ${rows.length} functions ${name}`);
  let text = before.text;
  for (const [find, replacement] of edits) {
    const edited =
      typeof replacement === 'string' ? text.replace(find, replacement) : text.replace(find, replacement);
    if (edited === text) throw new Error(`nothing in tidemark.${name} looks like ${String(find)}`);
    text = edited;
  }
  await sql.unsafe(text);
  return async () => {
    await sql.unsafe(before.text);
  };
}
