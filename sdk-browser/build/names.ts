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
  known: KnownNames = {},
): Output {
  const naming = createNaming(program, internal, sourceType);
  if (naming === undefined) return program;
  const [some, others] = [naming.choose(known), naming.choose({})];
  return naming.print(naming.bytes(some) < naming.bytes(others) ? some : others);
}

/** Short names, by what has them: a name of the source, with a number where several groups have that. */
export type KnownNames = Readonly<Record<string, string>>;

/** A program whose names may be tried. */
export interface Naming {
  readonly groups: readonly Group[];
  /** The known names, where they are free; for all else what probably compresses well. */
  choose(known: KnownNames): Names;
  /** Whether a group could have this name beside the names of the others. */
  isFree(names: Names, group: Group, name: string): boolean;
  /** So many has the program with these names when it is compressed, nearly. */
  bytes(names: Names): number;
  print(names: Names): Output;
}

export type Names = ReadonlyMap<Group, string>;

/** `undefined`: no name may be changed. */
export function createNaming(
  program: Output,
  internal: readonly string[],
  sourceType: 'module' | 'script',
): Naming | undefined {
  const file = parse(program.code, { sourceType });
  const found = variablesOf(file);
  if (found === undefined) return undefined;
  const { kept, sites } = propertiesOf(file, new Set(internal));
  const own = found.variables.filter(({ isPublic }) => !isPublic);
  const fixed = found.variables.filter(({ isPublic }) => isPublic).map(({ name }) => name);
  const groups = groupsOf(own, sites);
  const taken = new Set([...found.free, ...fixed]);
  return {
    groups,
    choose: (known) => choose(groups, taken, kept, known),
    isFree: (names, group, name) =>
      !taken.has(name) &&
      !(group.property.length > 0 && kept.has(name)) &&
      ![...names].some(([other, given]) => given === name && other !== group && meet(group, other)),
    bytes: (names) => compressedBytes(write(file, names)),
    print: (names) => print(write(file, names), program),
  };
}

/** What gets one short name. */
export interface Group {
  /** See KnownNames. */
  readonly key: string;
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
      .map((group, index) => ({
        key: index === 0 ? stem : `${stem} ${index}`,
        variables: group,
        property: (index === 0 && properties.get(stem)) || [],
      })),
  );
}

/** Whether one of two variables would be hidden by the other where it is used, if they had one name. */
function conflict(a: Variable, b: Variable): boolean {
  return a.scopes.has(b.scope) || b.scopes.has(a.scope);
}

/** Whether two groups cannot have the same name. */
function meet(some: Group, others: Group): boolean {
  if (some.property.length > 0 && others.property.length > 0) return true;
  return some.variables.some((variable) => others.variables.some((other) => conflict(variable, other)));
}

// What is used most chooses first. Every group takes the name that has been given most often among those that are free for it: the fewer names
// there are and the more one is used, the better the text compresses.
function choose(
  groups: readonly Group[],
  taken: ReadonlySet<string>,
  kept: ReadonlySet<string>,
  known: KnownNames,
): Names {
  const chosen = new Map<Group, string>();
  const names = shortNames(groups.length + kept.size, taken).map((name) => ({
    name,
    weight: 0,
    groups: new Array<Group>(),
  }));
  const isKnown = (group: Group): number => (group.key in known ? 1 : 0);
  for (const group of groups.toSorted((a, b) => isKnown(b) - isKnown(a) || usesOf(b) - usesOf(a))) {
    const free = names.filter(
      (name) =>
        !(group.property.length > 0 && kept.has(name.name)) &&
        !name.groups.some((other) => meet(group, other)),
    );
    const heaviest = free.reduce((best, name) => (name.weight > best.weight ? name : best));
    const name = free.find((one) => one.name === known[group.key]) ?? heaviest;
    name.weight += usesOf(group) + 3 * group.variables.length;
    name.groups.push(group);
    chosen.set(group, name.name);
  }
  return chosen;
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
