import * as t from '@babel/types';
import { declaredFunction } from './inline.ts';
import { isCalled, type Literal, literalOf, mayHeedThis } from './literal.ts';
import { isPlaceOf, listOf, type Place, type Program, roleOf, steady } from './program.ts';

/**
 * Writes out the members of an object that is spread into that of another variable: `{ ...clocks, own }` becomes
 * `{ now: clocks.now, own }`. A name that comes twice stays twice: the later counts, as with the spread.
 */
export function spread(program: Program): boolean {
  for (const place of program.places) {
    if (!isPlaceOf(place, t.isSpreadElement) || !isPlaceOf(place.parent, t.isObjectExpression)) continue;
    if (!isPlaceOf(place.parent.parent, t.isVariableDeclarator)) continue;
    const properties = place.parent.node.properties;
    const { argument } = place.node;
    if (t.isCallExpression(argument)) {
      if (name(program, place, argument)) return true;
      continue;
    }
    const literal = literalOf(program, steady(program, argument)?.declarations[0]?.by);
    if (literal === undefined || !isUnchanged(program, literal)) continue;
    const members = literal.members.map((member) => {
      const property = t.objectProperty(
        t.identifier(member.name),
        t.memberExpression(t.identifier(literal.name), t.identifier(member.name)),
      );
      property.loc = place.node.loc ?? null;
      return property;
    });
    properties.splice(properties.indexOf(place.node), 1, ...members);
    return true;
  }
  return false;
}

// Nobody who might change its members has the object.
function isUnchanged(program: Program, { name: object, members }: Literal): boolean {
  const reads = program.variables.get(object)?.reads ?? [];
  return reads.every(({ parent: use, key }) => {
    if (isPlaceOf(use, t.isSpreadElement)) return t.isObjectExpression(use.parent?.node);
    if (isPlaceOf(use, t.isVariableDeclarator)) return t.isObjectPattern(use.node.id);
    if (!isPlaceOf(use, t.isMemberExpression) || key !== 'object' || !isOnlyRead(use)) return false;
    const called = members.filter(({ name }) => isCalled(use) && t.isIdentifier(use.node.property, { name }));
    return !called.some(({ value }) => mayHeedThis(program, value));
  });
}

function isOnlyRead(member: Place<t.MemberExpression>): boolean {
  const isDeleted = t.isUnaryExpression(member.parent?.node, { operator: 'delete' });
  return !member.node.computed && !isDeleted && roleOf(member).role === 'reads';
}

/**
 * Gives the result of a call that is spread a name, `{ ...createX() }` becomes `const made = createX()` and `{ ...made }`: so the function can be
 * put there. The call then comes before what is in front of it in the object, so none of that may matter to it.
 */
function name(program: Program, place: Place<t.SpreadElement>, call: t.CallExpression): boolean {
  const statement = place.parent?.parent?.parent;
  const { list } = (statement && listOf(statement)) ?? {};
  const isAlone = isPlaceOf(statement, t.isVariableDeclaration) && statement.node.declarations.length === 1;
  const callee = declaredFunction(program, call.callee);
  const calls = t.isIdentifier(call.callee)
    ? program.variables.get(call.callee.name)?.reads.length
    : undefined;
  if (list === undefined || !isAlone || callee === undefined || calls !== 1) return false;
  const object = place.parent?.node;
  const earlier = t.isObjectExpression(object) ? object.properties.slice(0, place.index) : [];
  if (!earlier.every((property) => canWait(program, property))) return false;
  const made = program.fresh('made');
  const declaration = t.variableDeclaration('const', [t.variableDeclarator(t.identifier(made), call)]);
  declaration.loc = call.loc ?? null;
  list.splice(
    list.findIndex((other) => other === statement.node),
    0,
    declaration,
  );
  place.node.argument = t.identifier(made);
  return true;
}

// A function, or what never changes.
function canWait(program: Program, property: t.ObjectExpression['properties'][number]): boolean {
  if (t.isSpreadElement(property) || property.computed) return false;
  if (t.isObjectMethod(property)) return true;
  const { value } = property;
  const isLiteral = t.isLiteral(value) && !t.isTemplateLiteral(value);
  return isLiteral || t.isFunction(value) || steady(program, value) !== undefined;
}
