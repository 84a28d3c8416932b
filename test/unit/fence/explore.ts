/**
 * An explicit-state model checker: it visits every state that can be reached, breadth first, each once, and checks every move
 * between two states. Breadth first means that the first violation found is one of the shortest.
 *
 * Only the frontier is kept as objects. Of a state that was visited there remain its encoding, the number of the state it came
 * from and which of that state's moves led to it; a trace is found by going back and then playing the moves again.
 */

export type Model<State, Move extends { readonly after: State }> = {
  readonly initial: State;
  /** Everything that can happen next, always in the same order. */
  readonly moves: (state: State) => readonly Move[];
  /** Two states with the same encoding have the same future. */
  readonly encode: (state: State) => string;
  /** What is wrong with a move, or undefined. */
  readonly check: (before: State, move: Move) => string | undefined;
};

export type Exploration<Move> = {
  readonly states: number;
  readonly moves: number;
  /** The longest of the shortest ways from the initial state to any other. */
  readonly depth: number;
  readonly violation: { readonly message: string; readonly trace: readonly Move[] } | undefined;
};

/** Throws when there are more than `statesMax` states: an exploration is complete, found a violation, or failed. */
export function explore<State, Move extends { readonly after: State }>(
  model: Model<State, Move>,
  statesMax: number,
): Exploration<Move> {
  const visited = new Set([model.encode(model.initial)]);
  const origins = [-1];
  const choices = [-1];
  let frontier: { readonly state: State; readonly number: number }[] = [{ state: model.initial, number: 0 }];
  let moveCount = 0;
  let depth = 0;

  while (frontier.length > 0) {
    const next: typeof frontier = [];
    for (const { state, number } of frontier) {
      for (const [choice, move] of model.moves(state).entries()) {
        moveCount++;
        const message = model.check(state, move);
        if (message !== undefined) {
          const trace = [...traceTo(model, number, origins, choices), move];
          return {
            states: visited.size,
            moves: moveCount,
            depth: trace.length,
            violation: { message, trace },
          };
        }
        const known = visited.size;
        visited.add(model.encode(move.after));
        if (visited.size === known) continue;
        next.push({ state: move.after, number: origins.length });
        origins.push(number);
        choices.push(choice);
      }
    }
    if (visited.size > statesMax)
      throw new Error(`more than ${statesMax} states, ${next.length} of them open at depth ${depth + 1}`);
    if (next.length > 0) depth++;
    frontier = next;
  }
  return { states: visited.size, moves: moveCount, depth, violation: undefined };
}

function traceTo<State, Move extends { readonly after: State }>(
  model: Model<State, Move>,
  number: number,
  origins: readonly number[],
  choices: readonly number[],
): Move[] {
  const path: number[] = [];
  for (let at = number; at > 0; at = element(origins, at)) path.push(element(choices, at));
  let state = model.initial;
  return path.toReversed().map((choice) => {
    const move = element(model.moves(state), choice);
    state = move.after;
    return move;
  });
}

/** An element that is known to be there. */
export function element<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new RangeError(`no element ${index} of ${items.length}`);
  return item;
}
