import { NodePath, type Scope } from '@babel/traverse';
import * as t from '@babel/types';

/** A variable and every identifier that means it. */
export interface Variable {
  readonly name: string;
  readonly sites: readonly t.Identifier[];
  readonly scope: Scope;
  /** Where it must not be hidden by another of its name: its scope, and all between that and its sites. */
  readonly scopes: ReadonlySet<Scope>;
  /** Others see its name: it is exported where it is declared, or global. */
  readonly isPublic: boolean;
}

export interface Variables {
  readonly variables: readonly Variable[];
  /** Names that no variable of the program has: globals. */
  readonly free: ReadonlySet<string>;
}

/** All variables of a program. `undefined`: it may look them up by their names as it runs, with `eval` or `with`, so nothing may be renamed. */
export function variablesOf(file: t.File): Variables | undefined {
  const program = NodePath.get({
    parentPath: null,
    parent: file,
    container: file,
    key: 'program',
  }).setContext();
  const found = new Map<Binding, Found>();
  const free = new Set<string>();
  let looksUpNames = false;
  program.traverse({
    WithStatement() {
      looksUpNames = true;
    },
    Identifier(path) {
      if (!isVariable(path.node, path.parent, path.parentPath?.parent)) return;
      const from = scopeOf(path);
      const binding = from.getBinding(path.node.name);
      if (binding === undefined) {
        free.add(path.node.name);
        return;
      }
      const { sites, scopes } = found.get(binding) ?? { sites: new Set(), scopes: new Set() };
      found.set(binding, { sites: sites.add(path.node), scopes });
      for (let scope = from; scope !== binding.scope; scope = scope.parent) scopes.add(scope);
      scopes.add(binding.scope);
    },
  });
  if (looksUpNames || free.has('eval')) return undefined;
  return {
    variables: [...found].map(([binding, { sites, scopes }]) => ({
      name: binding.identifier.name,
      sites: [...sites],
      scope: binding.scope,
      scopes,
      isPublic: isPublic(binding),
    })),
    free,
  };
}

/** Whether an identifier is a variable's, and not the name of a property, a label or what an export is called outside. */
export function isVariable(node: t.Identifier, parent: t.Node, grandparent: t.Node | undefined): boolean {
  if (t.isExportSpecifier(parent) && parent.local !== node) return false;
  return t.isReferenced(node, parent, grandparent) || t.isBinding(node, parent, grandparent);
}

/** What a name was in the source, before it was made unique here or in esbuild. */
export function stemOf(name: string): string {
  return name.replace(/(\$\d+)+$/, '').replace(/(?<=.)\d+$/, '') || name;
}

type Binding = NonNullable<ReturnType<Scope['getBinding']>>;

interface Found {
  readonly sites: Set<t.Identifier>;
  readonly scopes: Set<Scope>;
}

// For Babel the name of a declared function is in the scope of the function.
function scopeOf(path: NodePath<t.Identifier>): Scope {
  return path.key === 'id' && t.isFunctionDeclaration(path.parent) ? path.scope.parent : path.scope;
}

function isPublic({ scope, path }: Binding): boolean {
  if (scope.path.isProgram() && scope.path.node.sourceType === 'script') return true;
  const declaration = path.isVariableDeclarator() ? path.parentPath : path;
  return declaration?.parentPath?.isExportNamedDeclaration() === true;
}
