// What Postgres does for a statement, as it says itself.

import type { Sql } from '../../collector/src/store/database.ts';

export interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** Runs the statement; answers with the steps, the topmost first. */
export async function explainSteps(
  sql: Sql,
  statement: string,
  values: readonly (string | number | null)[],
): Promise<readonly PlanNode[]> {
  const [row] = await sql.unsafe<[{ 'QUERY PLAN': [{ Plan: PlanNode }] }]>(
    `explain (analyze, format json) ${statement}`,
    [...values],
  );
  return stepsOf(row['QUERY PLAN'][0].Plan);
}

function stepsOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(stepsOf)];
}
