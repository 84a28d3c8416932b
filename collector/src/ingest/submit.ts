import type { AppendRow } from '../store/append.ts';
import type { Appender, RowOutcome } from './append.ts';

/** What became of rows, and where they are now. */
export interface Submitted {
  /** `committed`: in Postgres. `spooled`: on this machine's disk, all of them, to be moved to Postgres. */
  readonly durability: 'committed' | 'spooled';
  /** Of each row, in the order given. */
  readonly outcomes: readonly RowOutcome[];
}

/** Stores the rows of one request. Rejects when it is not known that they are stored. */
export type Submit = (rows: readonly AppendRow[], sender: string) => Promise<Submitted>;

/** Without a spool there is only Postgres. */
export function createDirectSubmit(appender: Pick<Appender, 'submit'>): Submit {
  return async (rows, sender) => ({ durability: 'committed', outcomes: await appender.submit(rows, sender) });
}
