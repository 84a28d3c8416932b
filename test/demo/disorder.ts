/** How far a sequence is from ascending order. */
export interface Disorder {
  /** Values that came after a greater one. */
  readonly late: number;
  /** Pairs in the wrong order. */
  readonly inversions: number;
}

export function disorderOf(values: readonly number[]): Disorder {
  let late = 0;
  let greatest = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < greatest) late += 1;
    else greatest = value;
  }
  return { late, inversions: inversionsOf(values).inversions };
}

/** By merging: where a value of the right half goes before values of the left one, it makes as many pairs. */
function inversionsOf(values: readonly number[]): { sorted: readonly number[]; inversions: number } {
  if (values.length < 2) return { sorted: values, inversions: 0 };
  const middle = values.length >> 1;
  const left = inversionsOf(values.slice(0, middle));
  const right = inversionsOf(values.slice(middle));
  let inversions = left.inversions + right.inversions;
  const sorted: number[] = [];
  let at = 0;
  for (const value of left.sorted) {
    for (let next = right.sorted[at]; next !== undefined && next < value; next = right.sorted[at]) {
      sorted.push(next);
      at += 1;
    }
    inversions += at;
    sorted.push(value);
  }
  return { sorted: [...sorted, ...right.sorted.slice(at)], inversions };
}
