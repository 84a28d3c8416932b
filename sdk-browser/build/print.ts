import { type GeneratorOptions, generate } from '@babel/generator';
import type * as t from '@babel/types';

/** A file and its source map. */
export interface Output {
  readonly code: string;
  readonly map: string;
}

/** Prints a changed program. Its source map leads to the sources of the program that was parsed. */
export function print(file: t.File, parsed: Output): Output {
  const options: GeneratorOptions & { inputSourceMap: unknown } = {
    sourceMaps: true,
    inputSourceMap: JSON.parse(parsed.map),
  };
  const { code, map } = generate(file, options, parsed.code);
  return { code, map: JSON.stringify(map) };
}
