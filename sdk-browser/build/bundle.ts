import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { type MinifyOptions, minify } from 'terser';
import { flatten } from './flatten/flatten.ts';
import { internalNames } from './internal-names.ts';
import knownNames from './known-names.json' with { type: 'json' };
import { shorten } from './names.ts';
import type { Output } from './print.ts';

export type Entry = 'auto' | 'index' | 'lite' | 'react-native' | 'script';

/**
 * One entry of the package as it is published: with all that it needs, and as small as it gets. esbuild puts the modules together, `flatten` makes
 * one function of many, terser makes that small, and `shorten` gives short names: also to the properties that nobody outside sees.
 *
 * @param globalName For a plain script file: the variable that holds what the entry exports. Without it: an ES module.
 */
export async function bundle(entry: Entry, globalName?: string): Promise<Output> {
  const { small, isModule } = await bundleUnnamed(entry, globalName);
  const named = shorten(small, internalNames, isModule ? 'module' : 'script', knownNames);
  return terser(named, { module: isModule, compress: false });
}

/** The same before the names are given. */
export async function bundleUnnamed(
  entry: Entry,
  globalName?: string,
): Promise<{ readonly small: Output; readonly isModule: boolean }> {
  const isModule = globalName === undefined;
  const module = await esbuild(entry, {
    entryPoints: [pathOf(`../src/${entry}.ts`)],
    format: 'esm',
  });
  const { code, map } = flatten(module);
  const contents = `${code}\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString('base64')}`;
  const flat = await esbuild(entry, {
    stdin: { contents, resolveDir: pathOf('../dist') },
    minifySyntax: true,
    ...(isModule ? { format: 'esm' } : { format: 'iife', globalName }),
  });
  const small = await terser(flat, {
    module: isModule,
    compress: { passes: 3, pure_getters: true, unsafe_arrows: true, unsafe_methods: true, keep_fargs: false },
  });
  return { small, isModule };
}

async function esbuild(entry: Entry, options: BuildOptions): Promise<Output> {
  const { outputFiles } = await build({
    // The paths in the source map lead from where the file is published.
    outfile: pathOf(`../dist/${entry}.js`),
    bundle: true,
    target: 'es2022',
    sourcemap: 'external',
    ...options,
    write: false,
  });
  const [map, code] = ['.js.map', '.js'].map(
    (end) => outputFiles.find(({ path }) => path.endsWith(end))?.text ?? '',
  );
  return { code: code ?? '', map: map ?? '' };
}

async function terser({ code, map: content }: Output, options: MinifyOptions): Promise<Output> {
  const { code: small, map } = await minify(code, {
    ecma: 2020,
    mangle: false,
    ...options,
    sourceMap: { content },
  });
  return { code: small ?? '', map: typeof map === 'string' ? map : '' };
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
