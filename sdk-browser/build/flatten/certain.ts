import * as t from '@babel/types';
import { isPlaceOf, type Program, replace, steady } from './program.ts';

/** Calls a function that is there without asking whether it is: `another?.()` becomes `another()`. */
export function certain(program: Program): boolean {
  for (const place of program.places) {
    if (!isPlaceOf(place, t.isOptionalCallExpression) || !place.node.optional) continue;
    const { callee, arguments: given } = place.node;
    const { by, as } = steady(program, callee)?.declarations[0] ?? {};
    const isFunction =
      t.isFunctionDeclaration(by?.node) || (t.isVariableDeclarator(by?.node) && t.isFunction(by.node.init));
    if (!isFunction || as !== 'name' || !t.isIdentifier(callee)) continue;
    replace(place, t.callExpression(callee, given));
    return true;
  }
  return false;
}
