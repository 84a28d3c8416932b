import { runInThisContext } from 'node:vm';
import type { Output } from '../../../sdk-browser/build/print.ts';

/** A program as a step of the build gets it: the text is its own source. */
export function asOutput(code: string): Output {
  return { code, map: JSON.stringify({ version: 3, sources: [], names: [], mappings: '' }) };
}

type See = (see: (...values: unknown[]) => void) => void;

/** What a program says with `seen(…)`, in order, and how it fails. */
export async function runProgram(code: string): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  try {
    const run = runInThisContext(`(function (seen) { 'use strict';\n${code}\n})`) as See;
    run((...values) => seen.push(values));
  } catch (error) {
    seen.push(error instanceof Error ? error.name : error);
  }
  const settled = seen.map((values) => (Array.isArray(values) ? Promise.all(values) : values));
  return await Promise.all(settled);
}
