import { parse } from '@babel/parser';
import { type Output, print } from '../print.ts';
import { alias } from './alias.ts';
import { certain } from './certain.ts';
import { dissolve } from './dissolve.ts';
import { getter } from './getter.ts';
import { inline } from './inline.ts';
import { look, makeNamesUnique } from './program.ts';
import { share } from './share.ts';
import { spread } from './spread.ts';

/**
 * Makes an ES module of few functions out of one of many: a function that is called at one place is put there, and the objects by which the
 * functions knew each other become variables. It does what it did; what is not understood for certain stays as it is.
 *
 * A rule makes one change at a time, and every change leaves less: fewer functions, objects, spreads or parameters.
 */
export function flatten(module: Output): Output {
  const file = parse(module.code, { sourceType: 'module' });
  if (!makeNamesUnique(file)) return module;
  for (let program = look(file); rules.some((rule) => rule(program)); ) program = look(file);
  return print(file, module);
}

const rules = [inline, spread, dissolve, share, alias, getter, certain];
