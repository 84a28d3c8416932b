import * as t from '@babel/types';
import { declaredFunction } from './inline.ts';
import { callOf, isPlaceOf, isWithin, listOf, type Place, type Program, rename, steady } from './program.ts';

/**
 * Drops a parameter that is the same variable at every call: the function uses the variable itself. For that it moves to where the variable
 * is declared, if that is further in.
 */
export function share(program: Program): boolean {
  for (const { reads } of program.variables.values()) {
    const calls = reads.map(callOf).filter((call) => call !== undefined);
    if (calls.length < reads.length || !calls[0]?.node.arguments.some((argument) => t.isIdentifier(argument)))
      continue;
    const declared = declaredFunction(program, reads[0]?.node);
    if (declared === undefined) continue;
    const index = declared.node.params.findIndex(
      (_, at) => sharedArgument(program, declared, calls, at) !== undefined,
    );
    const shared = sharedArgument(program, declared, calls, index);
    if (shared === undefined) continue;
    take(program, declared.node, index, shared.argument);
    for (const { node } of calls) node.arguments.splice(index, 1);
    move(declared, shared.list);
    return true;
  }
  return false;
}

interface Shared {
  readonly argument: t.Identifier;
  /** The statements among which the function sees the variable. `undefined`: it does already. */
  readonly list: t.Statement[] | undefined;
}

function sharedArgument(
  program: Program,
  declared: Place<t.FunctionDeclaration>,
  calls: readonly Place<t.CallExpression>[],
  index: number,
): Shared | undefined {
  const parameter = declared.node.params[index];
  const argument = calls[0]?.node.arguments[index];
  if (parameter === undefined || !t.isIdentifier(argument)) return undefined;
  const isSame = calls.every(({ node }) => {
    const isListed = node.arguments.slice(0, index).every((earlier) => t.isExpression(earlier));
    return isListed && t.isIdentifier(node.arguments[index], { name: argument.name });
  });
  if (!isSame || !canGo(program, declared.node, parameter)) return undefined;
  const block = blockOf(program, argument);
  const own = declared.parent?.node;
  if (block === undefined || own === undefined) return undefined;
  if (isWithin(declared, block.node)) return { argument, list: undefined };
  // A call from another place, such as a default of a parameter, would not see the function any more.
  const isFurtherIn = isWithin(block, own) && !isWithin(block, declared.node);
  const isSeen = isFurtherIn && calls.every((call) => isWithin(call, block.node));
  return isSeen ? { argument, list: block.node.body } : undefined;
}

// What takes the argument apart goes into the body: that is no difference where nothing else happens as the function begins.
function canGo(program: Program, { params, generator }: t.FunctionDeclaration, parameter: t.Node): boolean {
  if (params.some((other) => t.isRestElement(other))) return false;
  if (t.isIdentifier(parameter)) return steady(program, parameter) !== undefined;
  if (!t.isObjectPattern(parameter) && !t.isArrayPattern(parameter)) return false;
  return !generator && params.every((other) => other === parameter || t.isIdentifier(other));
}

/** The block, or the program, in which a variable that never changes is visible. */
function blockOf(program: Program, name: t.Identifier): Place<t.BlockStatement | t.Program> | undefined {
  const by = steady(program, name)?.declarations[0]?.by;
  if (by === undefined) return undefined;
  const place = isPlaceOf(by, t.isVariableDeclarator) ? by.parent?.parent : by.parent;
  const isParameter =
    t.isFunction(by.node) && !(t.isFunctionDeclaration(by.node) && by.node.id?.name === name.name);
  if (isParameter) {
    const { body } = by.node;
    return t.isBlockStatement(body) ? { node: body, parent: by, key: 'body', index: undefined } : undefined;
  }
  return isPlaceOf(place, isBlock) ? place : undefined;
}

function isBlock(node: t.Node): node is t.BlockStatement | t.Program {
  return t.isBlockStatement(node) || t.isProgram(node);
}

function take(
  program: Program,
  { params, body }: t.FunctionDeclaration,
  index: number,
  argument: t.Identifier,
): void {
  const [parameter] = params.splice(index, 1);
  if (t.isIdentifier(parameter)) rename(program, parameter.name, argument.name);
  else if (t.isObjectPattern(parameter) || t.isArrayPattern(parameter)) {
    const declaration = t.variableDeclaration('let', [
      t.variableDeclarator(parameter, t.identifier(argument.name)),
    ]);
    declaration.loc = parameter.loc ?? null;
    body.body.unshift(declaration);
  }
}

function move(declared: Place<t.FunctionDeclaration>, list: t.Statement[] | undefined): void {
  if (list === undefined) return;
  const own = listOf(declared)?.list;
  own?.splice(own.indexOf(declared.node), 1);
  list.push(declared.node);
}
