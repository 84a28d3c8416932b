import * as t from '@babel/types';
import { isPlaceOf, listOf, type Program, rename, replace, steady } from './program.ts';

/**
 * Removes a variable that always is the same as another, `const random = platformRandom`: the other takes its place. So it is with one that
 * always is undefined.
 */
export function alias(program: Program): boolean {
  for (const place of program.places) {
    if (!isPlaceOf(place, t.isVariableDeclarator) || !isPlaceOf(place.parent, t.isVariableDeclaration))
      continue;
    const { id, init } = place.node;
    const { list } = listOf(place.parent) ?? {};
    if (list === undefined || place.parent.node.declarations.length > 1) continue;
    const variable = t.isIdentifier(id) ? steady(program, id) : undefined;
    if (variable === undefined || !t.isIdentifier(id)) continue;
    if (t.isIdentifier(init) && id.name !== init.name && steady(program, init) !== undefined) {
      rename(program, id.name, init.name);
    } else if (isVoid(init) && !variable.reads.some(({ parent }) => t.isExportSpecifier(parent?.node))) {
      for (const read of variable.reads) replace(read, nothing());
    } else continue;
    list.splice(list.indexOf(place.parent.node), 1);
    return true;
  }
  return false;
}

function isVoid(node: t.Node | null | undefined): boolean {
  return t.isUnaryExpression(node, { operator: 'void' }) && t.isNumericLiteral(node.argument);
}

function nothing(): t.Expression {
  return t.unaryExpression('void', t.numericLiteral(0));
}
