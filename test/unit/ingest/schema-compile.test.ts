import { describe, expect, test } from 'vitest';
import { compileSchema } from '../../../collector/src/ingest/schema-compile.ts';

/** What is wrong with props, or undefined. */
function check(schema: object, props: unknown): string | undefined {
  const compiled = compileSchema(schema);
  if (!compiled.ok) throw new Error(compiled.message);
  return compiled.check(props);
}

function refusal(schema: object): string {
  const compiled = compileSchema(schema);
  return compiled.ok ? 'it was compiled' : compiled.message;
}

const order = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'https://shop.example/order',
  title: 'An order',
  type: 'object',
  required: ['total'],
  properties: {
    total: { type: 'number', minimum: 0 },
    items: { type: 'array', items: { $ref: '#/$defs/item' } },
  },
  additionalProperties: false,
  $defs: { item: { type: 'object', properties: { sku: { type: 'string', pattern: '^[A-Z]{2}\\d+$' } } } },
};

describe('a schema', () => {
  test('allows what matches it, and says where something else does not', () => {
    expect(check(order, { total: 1, items: [{ sku: 'AB12' }] })).toBeUndefined();
    expect(check(order, {})).toBe("props must have required property 'total'");
    expect(check(order, { total: '1' })).toBe('props/total must be number');
    expect(check(order, { total: 1, other: 2 })).toBe('props must NOT have additional properties');
    expect(check(order, { total: 1, items: [{ sku: 'AB12' }, { sku: 'nope' }] })).toMatch(
      /^props\/items\/1\/sku must match/,
    );
  });

  test('tells regular expressions apart', () => {
    const schema = {
      properties: { a: { pattern: '^a$' }, b: { pattern: '^b$' } },
      patternProperties: { '^c': { const: 1 } },
    };
    expect(check(schema, { a: 'a', b: 'b', c: 1 })).toBeUndefined();
    expect(check(schema, { a: 'b' })).toBeDefined();
    expect(check(schema, { b: 'a' })).toBeDefined();
    expect(check(schema, { c: 2 })).toBeDefined();
  });

  test.each([
    ['date-time', '2026-01-31T12:00:00.123456Z', '2026-02-30T12:00:00Z'],
    ['date', '2026-01-31', '2026-1-31'],
    ['uuid', '0190c1d2-7a1b-7c3d-8e4f-5a6b7c8d9e0f', '0190c1d2'],
    ['email', 'ada@example.com', 'ada@'],
    ['uri', 'https://example.com/a', '/a'],
    ['ipv4', '203.0.113.7', '203.0.113'],
    ['ipv6', '2001:db8::1', '203.0.113.7'],
  ])('checks the format %s', (format, good, bad) => {
    const schema = { properties: { a: { type: 'string', format } } };
    expect(check(schema, { a: good })).toBeUndefined();
    expect(check(schema, { a: bad })).toMatch(/format/);
  });

  test('finds items that are the same, in whatever order their members stand', () => {
    const schema = { properties: { a: { type: 'array', uniqueItems: true } } };
    expect(check(schema, { a: [1, '1', [1], { a: 1 }, null, { a: '1' }] })).toBeUndefined();
    expect(
      check(schema, {
        a: [
          { a: 1, b: [2] },
          { b: [2], a: 1 },
        ],
      }),
    ).toMatch(/same/);
    expect(check({ properties: { a: { uniqueItems: false } } }, { a: [1, 1] })).toBeUndefined();
  });

  test('knows names that every object has only where they were sent', () => {
    const named = (text: string): object => JSON.parse(text) as object;
    expect(check({ required: ['constructor', 'toString'] }, {})).toBeDefined();
    expect(check(named('{"required":["__proto__"]}'), {})).toBeDefined();
    expect(check(named('{"required":["__proto__"]}'), named('{"__proto__":1}'))).toBeUndefined();
    expect(check({ additionalProperties: false }, named('{"__proto__":1}'))).toBeDefined();
  });

  test('takes any number for a number, as large as it may be', () => {
    const schema = { properties: { a: { type: 'integer' }, b: { type: 'number' } } };
    const props = JSON.parse('{"a":123456789012345678901234567890,"b":1e400}') as object;
    expect(check(schema, props)).toBeUndefined();
  });

  test('is compiled again and again, under the same $id too', () => {
    expect(check(order, { total: 1 })).toBeUndefined();
    expect(check({ ...order, required: ['items'] }, { total: 1 })).toBe(
      "props must have required property 'items'",
    );
  });
});

describe('a schema is refused', () => {
  test.each<[string, object, RegExp]>([
    ['of another dialect', { $schema: 'http://json-schema.org/draft-07/schema#' }, /\$schema must be/],
    ['with a keyword that is not known', { properties: { a: { minimun: 1 } } }, /minimun/],
    ['with a format that is not known', { format: 'hostname-ish' }, /hostname-ish/],
    ['with a keyword of the wrong type', { type: 'text' }, /type/],
    ['that points to the network', { $ref: 'https://example.com/schema' }, /points to another schema/],
    ['that points nowhere', { $ref: '#/$defs/none' }, /points nowhere/],
    ['that points to itself', { properties: { a: { $ref: '#' } } }, /points to itself/],
    [
      'that points in a circle',
      { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } } },
      /points to itself/,
    ],
    ['that changes what it points to', { properties: { a: { $id: 'https://example.com' } } }, /\$id/],
    ['that waits for others', { $dynamicRef: '#a' }, /\$dynamicRef/],
    ['with an expression that looks ahead', { properties: { a: { pattern: 'a(?=b)' } } }, /./],
    ['with an expression that points back', { properties: { a: { pattern: '(a)\\1' } } }, /./],
    ['with an expression that is too large', { properties: { a: { pattern: '((a{30}){30}){2}' } } }, /./],
  ])('%s', (_, schema, message) => {
    expect(refusal(schema)).toMatch(message);
    expect(refusal(schema)).not.toBe('it was compiled');
  });

  test('that is short and stands for millions of checks', () => {
    const $defs: Record<string, object> = { d0: { type: 'string' } };
    for (let level = 1; level <= 30; level++) {
      const $ref = `#/$defs/d${level - 1}`;
      $defs[`d${level}`] = { anyOf: [{ $ref }, { $ref }] };
    }
    expect(refusal({ properties: { a: { $ref: '#/$defs/d30' } }, $defs })).toMatch(/2000 values|32 levels/);
    expect(refusal({ properties: { a: { $ref: '#/$defs/d8' } }, $defs: { ...$defs } })).toMatch(
      /2000 values|32 levels/,
    );
  });

  test('that is deeper than any event', () => {
    let schema: object = {};
    for (let level = 0; level < 40; level++) schema = { not: schema };
    expect(refusal(schema)).toMatch(/32 levels/);
  });
});

describe('hostile texts cost no more than their length', () => {
  const text = `${'a'.repeat(60_000)}!`;

  test.each(['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(.*a){20}b', '^(([a-z])+.)+[A-Z]([a-z])+$'])(
    'for the expression %s',
    (pattern) => {
      const schema = { properties: { a: { type: 'string', pattern } } };
      const compiled = compileSchema(schema);
      if (!compiled.ok) throw new Error(compiled.message);
      // With the engine of JavaScript these end after years, and so would the test.
      expect(compiled.check({ a: text })).toBeDefined();
    },
  );

  test('for an array of many different items', () => {
    const schema = { properties: { a: { type: 'array', uniqueItems: true } } };
    const items = Array.from({ length: 200_000 }, (_, index) => [index]);
    expect(check(schema, { a: items })).toBeUndefined();
  });
});
