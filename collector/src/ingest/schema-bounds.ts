/** Values that a schema may consist of, where each `$ref` counts as what it points to. */
const valuesMax = 2_000;
const depthMax = 32;

/** Their values are data, and look like schemas only by accident. */
const dataKeywords: ReadonlySet<string> = new Set(['const', 'enum', 'default', 'examples']);
/** They change what a `$ref` points to, or wait for others to do so. */
const refusedKeywords: ReadonlySet<string> = new Set([
  '$anchor',
  '$dynamicAnchor',
  '$dynamicRef',
  '$recursiveAnchor',
  '$recursiveRef',
  '$vocabulary',
]);

/**
 * What is wrong with the size of a schema; undefined: nothing. References are followed, as a short schema can stand for an endless one:
 * they must point into the schema itself, and not in a circle.
 */
export function schemaOutOfBounds(schema: object): string | undefined {
  let values = 0;

  /** `open`: references that are being followed. */
  function visit(value: unknown, depth: number, open: readonly string[]): string | undefined {
    values += 1;
    if (values > valuesMax)
      return `it has more than ${valuesMax} values, each $ref counted as what it points to`;
    if (depth > depthMax)
      return `it is deeper than ${depthMax} levels, each $ref counted as what it points to`;
    if (typeof value !== 'object' || value === null) return undefined;
    if (Array.isArray(value)) return firstOf(value, (element) => visit(element, depth + 1, open));
    return firstOf(Object.entries(value), ([name, member]) => {
      if (dataKeywords.has(name)) return undefined;
      if (typeof member !== 'string') return visit(member, depth + 1, open);
      if (refusedKeywords.has(name)) return `${name} is not understood here`;
      if (name === '$id' && depth > 1) return '$id is understood only at the top';
      return name === '$ref' ? follow(member, depth, open) : undefined;
    });
  }

  function follow(reference: string, depth: number, open: readonly string[]): string | undefined {
    const shown = JSON.stringify(reference.slice(0, 80));
    if (!reference.startsWith('#')) return `$ref ${shown} points to another schema: copy it into $defs`;
    if (open.includes(reference)) return `$ref ${shown} points to itself`;
    const target = resolve(schema, reference);
    return target === undefined
      ? `$ref ${shown} points nowhere`
      : visit(target, depth + 1, [...open, reference]);
  }

  return visit(schema, 1, []);
}

function firstOf<T>(elements: readonly T[], look: (element: T) => string | undefined): string | undefined {
  for (const element of elements) {
    const found = look(element);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A JSON pointer as a fragment. */
function resolve(schema: object, reference: string): unknown {
  if (reference === '#') return schema;
  if (!reference.startsWith('#/') || !/^[^%]*$/.test(reference)) return undefined;
  let at: unknown = schema;
  for (const step of reference.slice(2).split('/')) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}
