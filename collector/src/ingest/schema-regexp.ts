import { RE2JS } from 're2js';

/** Instructions of one expression: a text is looked through in time proportional to its length, and at worst to this. */
const instructionsMax = 1_000;

/**
 * The regular expressions of schemas, in the form that Ajv asks for. They take time proportional to the text, whatever they are and
 * whoever wrote the text: what cannot be done so, looking around and references back, is refused with an error.
 */
export const linearRegExp = Object.assign(createRegExp, { code: 'linearRegExp' });

function createRegExp(pattern: string): { test: (text: string) => boolean; toString: () => string } {
  const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
  if (compiled.programSize() > instructionsMax)
    throw new Error(`the regular expression ${JSON.stringify(pattern.slice(0, 80))} is too large`);
  return {
    test: (text) => compiled.test(text),
    // Ajv tells expressions apart by this.
    toString: () => `/${pattern}/`,
  };
}
