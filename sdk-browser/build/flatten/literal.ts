import * as t from '@babel/types';
import { heedsCaller, isPlaceOf, listOf, type Place, type Program, steady } from './program.ts';

/** A variable that always is the object that its literal makes, whose members are all known by their names. */
export interface Literal {
  readonly name: string;
  readonly statement: Place<t.VariableDeclaration>;
  /** In their order. Of two with one name the later counts. */
  readonly members: readonly Member[];
}

export interface Member {
  readonly name: string;
  readonly value: t.Expression | t.ObjectMethod;
}

/** Nothing where a member is a getter or setter, has a computed name, or is a function that heeds how it is called. */
export function literalOf(program: Program, place: Place | undefined): Literal | undefined {
  if (!isPlaceOf(place, t.isVariableDeclarator)) return undefined;
  const { node, parent: statement } = place;
  const { id, init } = node;
  if (!t.isIdentifier(id) || !t.isObjectExpression(init) || steady(program, id) === undefined)
    return undefined;
  if (!isPlaceOf(statement, t.isVariableDeclaration) || statement.node.declarations.length > 1)
    return undefined;
  const members = init.properties.map(memberOf).filter((member) => member !== undefined);
  const isKnown = members.length === init.properties.length && listOf(statement) !== undefined;
  return isKnown ? { name: id.name, statement, members } : undefined;
}

function memberOf(property: t.ObjectExpression['properties'][number]): Member | undefined {
  if (t.isSpreadElement(property) || property.computed || !t.isIdentifier(property.key)) return undefined;
  const { name } = property.key;
  if (name === '__proto__') return undefined;
  if (t.isObjectMethod(property)) {
    return property.kind === 'method' && !heedsCaller(property) ? { name, value: property } : undefined;
  }
  return t.isExpression(property.value) ? { name, value: property.value } : undefined;
}

/** Whether a member is called on its object, which is `this` then. */
export function isCalled({ parent, key }: Place): boolean {
  const isCall = t.isCallExpression(parent?.node) || t.isOptionalCallExpression(parent?.node);
  return (isCall && key === 'callee') || t.isTaggedTemplateExpression(parent?.node);
}

/** Whether something may be a function that uses the object it is called on. */
export function mayHeedThis(program: Program, value: t.Node | null | undefined): boolean {
  if (t.isArrowFunctionExpression(value) || t.isLiteral(value)) return false;
  if (t.isFunction(value)) return heedsCaller(value);
  const { by, as } = steady(program, value)?.declarations[0] ?? {};
  if (by === undefined || as !== 'name') return true;
  if (t.isFunctionDeclaration(by.node)) return heedsCaller(by.node);
  return (
    !t.isVariableDeclarator(by.node) || t.isIdentifier(by.node.init) || mayHeedThis(program, by.node.init)
  );
}
