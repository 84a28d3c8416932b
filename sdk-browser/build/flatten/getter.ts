import * as t from '@babel/types';
import { callOf, isPlaceOf, listOf, type Place, type Program, replace, steady } from './program.ts';

/**
 * Puts what a function says in the place of its calls, where that is no more than the call: `const isClosed = () => closed` is the variable
 * itself, and `const list = () => pending()` the other call. All use of the function must be such calls; what declares it stays, unused.
 */
export function getter(program: Program): boolean {
  for (const [name, { declarations, reads }] of program.variables) {
    const by = declarations[0]?.by;
    if (!isPlaceOf(by, t.isVariableDeclarator) || !t.isIdentifier(by.node.id) || reads.length === 0) continue;
    const value = valueOf(program, by.node);
    // What is declared in the head of a loop sees the variables of the head as they were at first.
    const isStatement = by.parent !== undefined && listOf(by.parent) !== undefined;
    if (value === undefined || !isStatement || steady(program, t.identifier(name)) === undefined) continue;
    const calls = reads.map(callOf).filter((call) => call !== undefined);
    if (calls.length < reads.length || !calls.every(isPlain)) continue;
    for (const call of calls) replace(call, t.cloneNode(value));
    return true;
  }
  return false;
}

function valueOf({ variables }: Program, { id, init: node }: t.VariableDeclarator): t.Expression | undefined {
  if (!t.isArrowFunctionExpression(node) || node.async || node.params.length > 0) return undefined;
  const { body } = node;
  const called = t.isCallExpression(body) && body.arguments.length === 0 ? body.callee : body;
  if (!t.isIdentifier(called) || t.isIdentifier(id, { name: called.name })) return undefined;
  // Not `arguments`, which is another function's at the call.
  const isVariable = variables.get(called.name)?.declarations.length === 1;
  return isVariable && t.isExpression(body) ? body : undefined;
}

function isPlain({ node, parent }: Place<t.CallExpression>): boolean {
  return node.arguments.length === 0 && !t.isUnaryExpression(parent?.node, { operator: 'delete' });
}
