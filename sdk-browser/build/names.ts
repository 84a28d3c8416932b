import { brotliCompressSync } from 'node:zlib';
import { parse } from '@babel/parser';
import { generate } from '@babel/generator';
import * as t from '@babel/types';
import { type Output, print } from './print.ts';
import { stemOf, type Variable, variablesOf } from './variables.ts';

/**
 * Gives variables and internal properties short names. What had the same name in the source gets the same short one wherever it can, and a
 * property that of the variables of its name: `{ text: text }` can be written `{ text }` with short names too, and a compressor finds the
 * same words in many places.
 *
 * Two variables may share a name where neither is hidden by the other at a place where it is used. Properties never share one.
 */
export function shorten(
  program: Output,
  internal: readonly string[],
  sourceType: 'module' | 'script',
): Output {
  const file = parse(program.code, { sourceType });
  const found = variablesOf(file);
  if (found === undefined) return program;
  const { kept, sites } = propertiesOf(file, new Set(internal));
  const own = found.variables.filter(({ isPublic }) => !isPublic);
  const fixed = found.variables.filter(({ isPublic }) => isPublic).map(({ name }) => name);
  const groups = groupsOf(own, sites);
  const taken = new Set([...found.free, ...fixed]);
  const ways = Array.from({ length: attempts }, (_, attempt) => choose(groups, taken, kept, attempt));
  write(
    file,
    smallest(ways, (names) => compressedBytes(write(file, names))),
  );
  return print(file, program);
}

/** What gets one short name. */
interface Group {
  readonly variables: readonly Variable[];
  readonly property: readonly t.Identifier[];
}

/** Which properties the program has: names that stay, and where those are that get another. */
interface Properties {
  readonly kept: ReadonlySet<string>;
  readonly sites: ReadonlyMap<string, readonly t.Identifier[]>;
}

// An internal property that is also named by a string stays: the string says what it is called. So does one that a text may name.
function propertiesOf(file: t.File, internal: ReadonlySet<string>): Properties {
  const sites = new Map<string, t.Identifier[]>();
  const strings = new Set<string>();
  const keys = new Set<string>();
  t.traverseFast(file, (node) => {
    if (t.isStringLiteral(node)) strings.add(node.value);
    const key = keyOf(node);
    if (t.isStringLiteral(key)) keys.add(key.value);
    if (t.isIdentifier(key)) sites.set(key.name, [...(sites.get(key.name) ?? []), key]);
  });
  const isShortened = (name: string) => internal.has(name) && !keys.has(name);
  return {
    kept: new Set([...strings, ...[...sites.keys()].filter((name) => !isShortened(name))]),
    sites: new Map([...sites].filter(([name]) => isShortened(name))),
  };
}

/** What names a property: an identifier, or an expression whose value does. */
function keyOf(node: t.Node): t.Node | undefined {
  if (t.isMemberExpression(node) || t.isOptionalMemberExpression(node)) {
    return node.computed && t.isIdentifier(node.property) ? undefined : node.property;
  }
  if (t.isProperty(node) || t.isMethod(node)) {
    const isComputed = 'computed' in node && node.computed;
    return isComputed && t.isIdentifier(node.key) ? undefined : node.key;
  }
  return t.isBinaryExpression(node, { operator: 'in' }) && t.isStringLiteral(node.left)
    ? node.left
    : undefined;
}

function groupsOf(variables: readonly Variable[], properties: Properties['sites']): Group[] {
  const byStem = new Map<string, Variable[][]>();
  for (const variable of variables) {
    const groups = byStem.get(stemOf(variable.name)) ?? [];
    byStem.set(stemOf(variable.name), groups);
    const fitting = groups.find((group) => group.every((other) => !conflict(variable, other)));
    if (fitting === undefined) groups.push([variable]);
    else fitting.push(variable);
  }
  for (const name of properties.keys()) if (!byStem.has(name)) byStem.set(name, [[]]);
  return [...byStem].flatMap(([stem, groups]) =>
    groups
      .toSorted((a, b) => siteCount(b) - siteCount(a))
      .map((group, index) => ({ variables: group, property: (index === 0 && properties.get(stem)) || [] })),
  );
}

/** Whether one of two variables would be hidden by the other where it is used, if they had one name. */
function conflict(a: Variable, b: Variable): boolean {
  return a.scopes.has(b.scope) || b.scopes.has(a.scope);
}

type Names = ReadonlyMap<Group, string>;

/** What compresses best is a matter of luck: so many ways to give the names are tried. */
const attempts = 64;

// What is used most chooses first, more or less: each attempt has an order of its own. Every group takes the name that has been given most often
// among those that are free for it: the fewer names there are and the more one is used, the better the text compresses.
function choose(
  groups: readonly Group[],
  taken: ReadonlySet<string>,
  kept: ReadonlySet<string>,
  attempt: number,
): Names {
  const chosen = new Map<Group, string>();
  const chance = createChance(attempt);
  const ranks = new Map(groups.map((group) => [group, usesOf(group) * (1 + (attempt && 0.4 * chance()))]));
  const names = shortNames(groups.length + kept.size, taken).map((name) => ({
    name,
    weight: 0,
    variables: new Array<Variable>(),
    isProperty: false,
  }));
  for (const group of groups.toSorted((a, b) => (ranks.get(b) ?? 0) - (ranks.get(a) ?? 0))) {
    const { variables, property } = group;
    const isProperty = property.length > 0;
    const free = names.filter(
      (other) =>
        !(isProperty && (other.isProperty || kept.has(other.name))) &&
        !other.variables.some((given) => variables.some((variable) => conflict(variable, given))),
    );
    const name = free.reduce((best, other) => (other.weight > best.weight ? other : best));
    name.weight += usesOf({ variables, property }) + 3 * variables.length;
    name.isProperty ||= isProperty;
    name.variables.push(...variables);
    chosen.set(group, name.name);
  }
  return chosen;
}

/** Evenly in [0, 1), the same for the same seed (Park and Miller's minimal standard generator). */
function createChance(seed: number): () => number {
  let state = seed + 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

function smallest<Value>(values: readonly Value[], sizeOf: (value: Value) => number): Value {
  const sizes = values.map(sizeOf);
  const index = sizes.indexOf(Math.min(...sizes));
  const value = values[index];
  if (value === undefined) throw new Error('there is nothing to choose from');
  return value;
}

function write(file: t.File, names: Names): t.File {
  for (const [{ property, variables }, name] of names)
    for (const site of [...property, ...variables.flatMap(({ sites }) => sites)]) site.name = name;
  t.traverseFast(file, (node) => {
    if (t.isObjectProperty(node) && !node.computed && t.isIdentifier(node.key)) {
      node.shorthand = t.isIdentifier(node.value, { name: node.key.name });
    }
  });
  return file;
}

/** As it will be printed in the end, nearly. */
function compressedBytes(file: t.File): number {
  const { code } = generate(file, { minified: true });
  return brotliCompressSync(code.replaceAll(';}', '}')).length;
}

function usesOf({ variables, property }: Group): number {
  return siteCount(variables) + property.length;
}

function siteCount(variables: readonly Variable[]): number {
  return variables.reduce((sum, { sites }) => sum + sites.length, 0);
}

// By how often letters come in programs: those of keywords first.
const letters = 'entrsiaoludcmpfhvgybwkqxzjESTAINORCDMLPUFHVBGWKYXQJZ$_';

function shortNames(count: number, taken: ReadonlySet<string>): string[] {
  const names: string[] = [];
  for (let number = 0; names.length < count; number++) {
    const name = nameOf(number);
    if (t.isValidIdentifier(name) && !taken.has(name)) names.push(name);
  }
  return names;
}

// One letter, then two, and so on; the first one changes most.
function nameOf(number: number): string {
  const { length } = letters;
  const first = letters[number % length] ?? '';
  return number < length ? first : first + nameOf(Math.floor(number / length) - 1);
}
