import * as t from '@babel/types';
import { isVariable, stemOf, variablesOf } from '../variables.ts';

/** A node and where it is: in which field of which other node. */
export interface Place<N extends t.Node = t.Node> {
  readonly node: N;
  readonly parent: Place | undefined;
  readonly key: string;
  /** Its position where the field is a list. */
  readonly index: number | undefined;
}

export interface Variable {
  /** What declares it (a declarator, a function, a class, a catch, an import): as its name, or as a parameter or a part. */
  readonly declarations: readonly { readonly by: Place; readonly as: 'name' | 'other' }[];
  readonly writes: readonly Place<t.Identifier>[];
  readonly reads: readonly Place<t.Identifier>[];
}

/** The program as it is now. After a change it must be looked at again: its places are out of date. */
export interface Program {
  readonly places: readonly Place[];
  /** By their names: every variable has a name of its own. */
  readonly variables: ReadonlyMap<string, Variable>;
  /** A name that nothing has, made of one that says what it is. */
  fresh(name: string): string;
}

/**
 * Gives every variable a name that no other variable and no global has: then code can be moved to where its variables are visible, and no
 * name means another variable there. `false`: it may look them up by their names.
 */
export function makeNamesUnique(file: t.File): boolean {
  const found = variablesOf(file);
  if (found === undefined) return false;
  const { variables, free } = found;
  const taken = new Set([...free, ...variables.filter(({ isPublic }) => isPublic).map(({ name }) => name)]);
  for (const { name, sites, isPublic } of variables) {
    if (isPublic) continue;
    const unique = freshIn(taken, name);
    taken.add(unique);
    for (const site of sites) site.name = unique;
  }
  return true;
}

export function look(file: t.File): Program {
  const places: Place[] = [];
  walk({ node: file.program, parent: undefined, key: 'program', index: undefined }, (place) => {
    places.push(place);
    return true;
  });
  const names = new Set(places.map(({ node }) => (t.isIdentifier(node) ? node.name : '')));
  return {
    places,
    variables: variablesIn(places),
    fresh(name) {
      const unique = freshIn(names, name);
      names.add(unique);
      return unique;
    },
  };
}

function variablesIn(places: readonly Place[]): ReadonlyMap<string, Variable> {
  const variables = new Map<string, { [use in keyof Variable]: Variable[use][number][] }>();
  for (const place of places) {
    if (!isPlaceOf(place, t.isIdentifier)) continue;
    const { node, parent } = place;
    if (parent === undefined || !isVariable(node, parent.node, parent.parent?.node)) continue;
    const variable = variables.get(node.name) ?? { declarations: [], writes: [], reads: [] };
    variables.set(node.name, variable);
    const { role, by, as } = roleOf(place);
    if (role === 'declarations') variable.declarations.push({ by, as });
    else variable[role].push(place);
  }
  return variables;
}

/** Visits a node and all in it, as long as the visitor wants to go deeper. */
export function walk(place: Place, visit: (place: Place) => boolean): void {
  if (!visit(place)) return;
  for (const key of t.VISITOR_KEYS[place.node.type] ?? []) {
    const value: unknown = Reflect.get(place.node, key);
    if (Array.isArray(value)) {
      for (const [index, node] of value.entries())
        if (isNode(node)) walk({ node, parent: place, key, index }, visit);
    } else if (isNode(value)) walk({ node: value, parent: place, key, index: undefined }, visit);
  }
}

export function isPlaceOf<N extends t.Node>(
  place: Place | undefined,
  is: (node: t.Node) => node is N,
): place is Place<N> {
  return place !== undefined && is(place.node);
}

/** Whether something is part of, or is, what is at a place. */
export function isWithin(place: Place | undefined, node: t.Node): boolean {
  return place !== undefined && (place.node === node || isWithin(place.parent, node));
}

/** What a variable, a part of a pattern or a member is there for: who it is declared by, or whether it is written or read. */
export function roleOf(place: Place): {
  role: keyof Variable;
  by: Place;
  as: 'name' | 'other';
} {
  let at = place;
  while (at.parent !== undefined && isPartOfPattern(at, at.parent)) at = at.parent;
  const by = at.parent ?? place;
  const as = at === place && at.key === 'id' ? 'name' : 'other';
  const { node } = by;
  const declares =
    (t.isVariableDeclarator(node) && at.key === 'id') ||
    (t.isFunction(node) && (at.key === 'params' || at.key === 'id')) ||
    (t.isClass(node) && at.key === 'id') ||
    (t.isCatchClause(node) && at.key === 'param') ||
    (t.isModuleSpecifier(node) && !t.isExportSpecifier(node));
  if (declares) return { role: 'declarations', by, as };
  const writes =
    (t.isAssignmentExpression(node) && at.key === 'left') ||
    t.isUpdateExpression(node) ||
    (t.isForXStatement(node) && at.key === 'left');
  return { role: writes ? 'writes' : 'reads', by, as };
}

/** The call of which something is the callee. */
export function callOf({ parent, key }: Place): Place<t.CallExpression> | undefined {
  return isPlaceOf(parent, t.isCallExpression) && key === 'callee' ? parent : undefined;
}

/** The list of statements in which a statement is. */
export function listOf({
  parent,
  index,
}: Place): { readonly list: t.Statement[]; readonly index: number } | undefined {
  if (index === undefined || parent === undefined) return undefined;
  return t.isBlockStatement(parent.node) || t.isProgram(parent.node)
    ? { list: parent.node.body, index }
    : undefined;
}

export function replace({ node, parent, key, index }: Place, by: t.Expression): void {
  if (parent === undefined) return;
  by.loc ??= node.loc ?? null;
  if (index === undefined) Reflect.set(parent.node, key, by);
  else (Reflect.get(parent.node, key) as t.Node[])[index] = by;
}

/** Has a variable have the name of another, with which it becomes one. */
export function rename({ variables }: Program, name: string, to: string): void {
  const variable = variables.get(name);
  for (const { node } of [...(variable?.reads ?? []), ...(variable?.writes ?? [])]) node.name = to;
}

/**
 * The variable of a name, if it has one value from its declaration on. What reads it before that fails, so no working program does. That is not so for
 * `var`, but those of the module itself are esbuild's: they were `const` and classes.
 */
export function steady({ variables }: Program, node: t.Node | null | undefined): Variable | undefined {
  const variable = t.isIdentifier(node) ? variables.get(node.name) : undefined;
  const [only, ...others] = variable?.declarations ?? [];
  if (variable === undefined || only === undefined || others.length > 0 || variable.writes.length > 0)
    return undefined;
  if (t.isModuleSpecifier(only.by.node)) return undefined;
  const declaration = only.by.parent;
  const isVar = isPlaceOf(declaration, t.isVariableDeclaration) && declaration.node.kind === 'var';
  return isVar && !t.isProgram(declaration.parent?.node) ? undefined : variable;
}

/** Whether a function asks how it was called. */
export function heedsCaller(node: t.Function): boolean {
  let heeds = false;
  walk({ node, parent: undefined, key: '', index: undefined }, (place) => {
    const inner = place.node;
    heeds ||= t.isThisExpression(inner) || t.isSuper(inner) || t.isMetaProperty(inner);
    heeds ||= t.isIdentifier(inner, { name: 'arguments' });
    return inner === node || !t.isFunction(inner) || t.isArrowFunctionExpression(inner);
  });
  return heeds;
}

function isPartOfPattern(at: Place, { node, parent }: Place): boolean {
  if (t.isObjectProperty(node)) return at.key === 'value' && t.isObjectPattern(parent?.node);
  return (
    t.isObjectPattern(node) ||
    t.isArrayPattern(node) ||
    t.isRestElement(node) ||
    (t.isAssignmentPattern(node) && at.key === 'left')
  );
}

function isNode(value: unknown): value is t.Node {
  return typeof value === 'object' && value !== null && 'type' in value;
}

// The number comes off again where the name decides about a short one.
function freshIn(taken: ReadonlySet<string>, name: string): string {
  const stem = stemOf(name);
  if (!taken.has(stem) && t.isValidIdentifier(stem)) return stem;
  let number = 1;
  while (taken.has(`${stem}$${number}`)) number++;
  return `${stem}$${number}`;
}
