import * as t from '@babel/types';
import { isPlaceOf, listOf, type Program, rename, steady } from './program.ts';

/** Removes a variable that always is the same as another, `const random = platformRandom`: the other takes its place. */
export function alias(program: Program): boolean {
  for (const place of program.places) {
    if (!isPlaceOf(place, t.isVariableDeclarator) || !isPlaceOf(place.parent, t.isVariableDeclaration))
      continue;
    const { id, init } = place.node;
    const { list } = listOf(place.parent) ?? {};
    if (list === undefined || place.parent.node.declarations.length > 1) continue;
    if (!t.isIdentifier(id) || !t.isIdentifier(init) || id.name === init.name) continue;
    if (steady(program, id) === undefined || steady(program, init) === undefined) continue;
    rename(program, id.name, init.name);
    list.splice(list.indexOf(place.parent.node), 1);
    return true;
  }
  return false;
}
