import * as t from '@babel/types';
import {
  callOf,
  heedsCaller,
  isPlaceOf,
  isWithin,
  listOf,
  type Place,
  type Program,
  rename,
  steady,
  walk,
} from './program.ts';

/**
 * Puts a function that is called at one place there: `const x = createX(a)`, `return createX(a)` or `createX(a);` become its statements. They
 * run where the call ran and its variables are made anew each time, as those of a call are. Its own functions come along; they are hoisted.
 */
export function inline(program: Program): boolean {
  for (const { reads } of program.variables.values()) {
    const [read, ...others] = reads;
    const call = read && callOf(read);
    const use = call && useOf(call);
    if (call === undefined || use === undefined || others.length > 0) continue;
    const declared = declaredFunction(program, read?.node);
    if (declared === undefined || isWithin(call, declared.node)) continue;
    const end = ending(declared.node);
    if (end === undefined || !fits(end, use)) continue;
    const bound = bind(program, declared.node, call.node);
    if (bound === undefined) continue;
    const own = listOf(declared);
    if (own === undefined) continue;
    for (const [name, to] of bound.same) rename(program, name, to);
    const body = [...bound.statements, ...statementsOf(declared.node, use)];
    own.list.splice(own.list.indexOf(declared.node), 1);
    put(body, use.statement);
    return true;
  }
  return false;
}

/** The function that a name means, where it is declared by a statement, always means this, and does not ask how it is called. */
export function declaredFunction(
  program: Program,
  name: t.Node | undefined,
): Place<t.FunctionDeclaration> | undefined {
  const by = steady(program, name)?.declarations[0]?.by;
  if (!isPlaceOf(by, t.isFunctionDeclaration) || listOf(by) === undefined) return undefined;
  const isItsName = t.isIdentifier(name) && by.node.id?.name === name.name;
  const isPlain = by.node.body.directives.length === 0 && !heedsCaller(by.node);
  return isItsName && isPlain ? by : undefined;
}

/** How a function ends: with a value in its last statement and nowhere else, with no value at all, or in several ways. */
type Ending = 'value' | 'nothing' | 'anyhow';

interface Use {
  readonly as: 'variable' | 'return' | 'statement';
  readonly statement: Place<t.Statement>;
}

// What cannot be moved: a function that waits or yields, a `var` (it would be one variable for all rounds of a loop), a label (there may be
// one of its name around the call), a resource that is disposed of at the function's end.
function ending({ async, generator, body }: t.FunctionDeclaration): Ending | undefined {
  let returns = 0;
  let isMovable = !async && !generator;
  walk({ node: body, parent: undefined, key: '', index: undefined }, ({ node }) => {
    if (t.isReturnStatement(node)) returns++;
    if (t.isLabeledStatement(node)) isMovable = false;
    if (t.isVariableDeclaration(node) && node.kind !== 'const' && node.kind !== 'let') isMovable = false;
    return !t.isFunction(node);
  });
  if (!isMovable) return undefined;
  if (returns === 0) return 'nothing';
  const last = body.body.findLast((statement) => !t.isFunctionDeclaration(statement));
  return returns === 1 && t.isReturnStatement(last) ? 'value' : 'anyhow';
}

function useOf(call: Place<t.CallExpression>): Use | undefined {
  const { parent } = call;
  if (isPlaceOf(parent, t.isVariableDeclarator)) {
    const declaration = parent.parent;
    if (!isPlaceOf(declaration, t.isVariableDeclaration) || declaration.node.declarations.length > 1)
      return undefined;
    return listOf(declaration) && { as: 'variable', statement: declaration };
  }
  if (isPlaceOf(parent, t.isReturnStatement)) return { as: 'return', statement: parent };
  const whole = isPlaceOf(parent, isVoid) ? parent.parent : parent;
  return isPlaceOf(whole, t.isExpressionStatement) ? { as: 'statement', statement: whole } : undefined;
}

function isVoid(node: t.Node): node is t.UnaryExpression {
  return t.isUnaryExpression(node, { operator: 'void' });
}

// What the function returns anywhere is returned by the one that returns the call's value.
function fits(ending: Ending, { as }: Use): boolean {
  return ending === 'value' || as === 'return' || (ending === 'nothing' && as === 'statement');
}

/** How the parameters get their values: by statements, or because they always are what a variable of the caller is. */
interface Bound {
  readonly statements: readonly t.Statement[];
  readonly same: readonly (readonly [name: string, to: string])[];
}

// All arguments come first, in their order, and only then what takes one of them apart.
function bind(
  program: Program,
  { params }: t.Function,
  { arguments: given }: t.CallExpression,
): Bound | undefined {
  if (given.length > params.length) return undefined;
  const values: t.Statement[] = [];
  const parts: t.Statement[] = [];
  const same: [string, string][] = [];
  for (const [index, parameter] of params.entries()) {
    const argument = given[index] ?? t.unaryExpression('void', t.numericLiteral(0));
    if (!t.isExpression(argument)) return undefined;
    const isSteady = t.isIdentifier(argument) && steady(program, argument) !== undefined;
    if (t.isIdentifier(parameter)) {
      const isConstant = steady(program, parameter) !== undefined;
      if (isSteady && isConstant) same.push([parameter.name, argument.name]);
      else values.push(declare(isConstant ? 'const' : 'let', parameter, argument));
    } else if (t.isObjectPattern(parameter) || t.isArrayPattern(parameter)) {
      const whole = isSteady ? argument : t.identifier(program.fresh('given'));
      if (whole !== argument) values.push(declare('const', whole, argument));
      parts.push(declare('let', parameter, whole));
    } else return undefined;
  }
  return { statements: [...values, ...parts], same };
}

function declare(
  kind: 'const' | 'let',
  id: t.LVal & t.VariableDeclarator['id'],
  init: t.Expression,
): t.Statement {
  const declaration = t.variableDeclaration(kind, [t.variableDeclarator(id, init)]);
  declaration.loc = init.loc ?? null;
  return declaration;
}

function statementsOf({ body: { body } }: t.FunctionDeclaration, { as, statement }: Use): t.Statement[] {
  const statements = body.map((own) =>
    t.isReturnStatement(own) && as !== 'return' ? result(own, statement.node) : own,
  );
  // What follows the call's statement is reached only where the call ended by itself.
  return as === 'return' ? [...statements, t.returnStatement()] : statements;
}

function result({ argument }: t.ReturnStatement, use: t.Statement): t.Statement {
  const value = argument ?? t.unaryExpression('void', t.numericLiteral(0));
  if (!t.isVariableDeclaration(use)) return t.expressionStatement(value);
  const [declarator] = use.declarations;
  if (declarator !== undefined) declarator.init = value;
  return use;
}

function put(statements: t.Statement[], place: Place<t.Statement>): void {
  const { list, index } = listOf(place) ?? {};
  if (list !== undefined && index !== undefined) list.splice(list.indexOf(place.node), 1, ...statements);
  else if (place.parent !== undefined)
    Reflect.set(place.parent.node, place.key, t.blockStatement(statements));
}
