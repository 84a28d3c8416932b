import * as t from '@babel/types';
import { isCalled, type Literal, literalOf, type Member, mayHeedThis } from './literal.ts';
import { isPlaceOf, listOf, type Place, type Program, rename, replace, roleOf, steady } from './program.ts';

/**
 * Turns an object that never leaves into variables: all that is ever done with it is to use its members by their names, and no function in
 * it heeds `this`, so nothing can tell the difference. What is no member is `undefined`.
 */
export function dissolve(program: Program): boolean {
  for (const place of program.places) {
    const literal = literalOf(program, place);
    const uses = literal && usesOf(program, literal);
    if (literal === undefined || uses === undefined) continue;
    const written = new Set(uses.filter(({ isWritten }) => isWritten).map(({ name }) => name));
    const parts = new Map<string, Part>();
    const statements = literal.members.map(({ name, value }) => {
      const isFixed = !written.has(name);
      const isVariable = isFixed && t.isIdentifier(value) && steady(program, value) !== undefined;
      parts.set(name, { variable: isVariable ? value.name : program.fresh(name), isFixed });
      return isVariable ? [] : [declare(parts.get(name), value)];
    });
    for (const { name, place: use } of uses) {
      if (name !== undefined) replace(use, valueOf(parts.get(name)));
      else takeApart(program, use, parts);
    }
    replaceStatement(literal.statement, statements.flat());
    return true;
  }
  return false;
}

/** The variable that a member becomes. */
interface Part {
  readonly variable: string;
  readonly isFixed: boolean;
}

/** A member by its name or, without one, a declarator that takes the object apart. */
interface Use {
  readonly name: string | undefined;
  readonly isWritten: boolean;
  readonly place: Place;
}

/** All uses of the object. `undefined`: it is used in another way than by its members. */
function usesOf(program: Program, { name: object, members }: Literal): readonly Use[] | undefined {
  const values = new Map(members.map(({ name, value }) => [name, value]));
  const uses: Use[] = [];
  for (const read of program.variables.get(object)?.reads ?? []) {
    const use = memberOf(read) ?? patternOf(read);
    if (use === undefined) return undefined;
    uses.push(use);
  }
  const isSafe = uses.every(({ name, isWritten, place }) => {
    if (name === undefined) return namesIn(place).every((part) => values.has(part) || !(part in {}));
    const value = values.get(name);
    if (value === undefined) return !isWritten && !(name in {});
    const isFixed = !uses.some((use) => use.name === name && use.isWritten);
    return !isCalled(place) || (isFixed && !mayHeedThis(program, value));
  });
  return isSafe ? uses : undefined;
}

function memberOf({ parent: place, key }: Place): Use | undefined {
  if (!isPlaceOf(place, t.isMemberExpression) || key !== 'object') return undefined;
  const { computed, property } = place.node;
  const isDeleted = t.isUnaryExpression(place.parent?.node, { operator: 'delete' });
  if (computed || isDeleted || !t.isIdentifier(property)) return undefined;
  return { name: property.name, isWritten: roleOf(place).role === 'writes', place };
}

// Without computed names, defaults and a rest.
function patternOf({ parent: place, key }: Place): Use | undefined {
  if (!isPlaceOf(place, t.isVariableDeclarator) || key !== 'init' || !t.isObjectPattern(place.node.id))
    return undefined;
  const isPlain = place.node.id.properties.every(
    (property) =>
      t.isObjectProperty(property) &&
      !property.computed &&
      t.isIdentifier(property.key) &&
      (t.isIdentifier(property.value) ||
        t.isObjectPattern(property.value) ||
        t.isArrayPattern(property.value)),
  );
  const isStatement = place.parent !== undefined && listOf(place.parent) !== undefined;
  return isPlain && isStatement ? { name: undefined, isWritten: false, place } : undefined;
}

function namesIn({ node }: Place): string[] {
  if (!t.isVariableDeclarator(node) || !t.isObjectPattern(node.id)) return [];
  return node.id.properties.flatMap((property) =>
    t.isObjectProperty(property) && t.isIdentifier(property.key) ? [property.key.name] : [],
  );
}

function declare(part: Part | undefined, value: Member['value']): t.Statement {
  const id = t.identifier(part?.variable ?? '');
  const declaration = t.isObjectMethod(value)
    ? t.functionDeclaration(id, value.params, value.body, value.generator, value.async)
    : t.variableDeclaration(part?.isFixed === true ? 'const' : 'let', [t.variableDeclarator(id, value)]);
  declaration.loc = value.loc ?? null;
  return declaration;
}

function valueOf(part: Part | undefined): t.Expression {
  return part === undefined ? t.unaryExpression('void', t.numericLiteral(0)) : t.identifier(part.variable);
}

// What is taken out of a member that never changes, into a variable that never changes, is this member. All else is declared as before.
function takeApart(program: Program, place: Place, parts: ReadonlyMap<string, Part>): void {
  const { node: declarator, parent: statement } = place;
  if (!t.isVariableDeclarator(declarator) || !t.isObjectPattern(declarator.id)) return;
  if (!isPlaceOf(statement, t.isVariableDeclaration)) return;
  const own = declarator.id.properties.flatMap((property) => {
    if (!t.isObjectProperty(property) || !t.isIdentifier(property.key) || !t.isLVal(property.value))
      return [];
    const part = parts.get(property.key.name);
    const { value } = property;
    const isSame = part?.isFixed === true && t.isIdentifier(value) && steady(program, value) !== undefined;
    if (!isSame) return [t.variableDeclarator(value, valueOf(part))];
    rename(program, value.name, part.variable);
    return [];
  });
  const { declarations } = statement.node;
  declarations.splice(declarations.indexOf(declarator), 1, ...own);
  if (declarations.length === 0) replaceStatement(statement, []);
}

function replaceStatement(statement: Place, by: readonly t.Statement[]): void {
  const { list } = listOf(statement) ?? {};
  list?.splice(
    list.findIndex((other) => other === statement.node),
    1,
    ...by,
  );
}
