import { describe, expect, test } from 'vitest';
import { createNaming, type KnownNames, shorten } from '../../../sdk-browser/build/names.ts';
import { asOutput, runProgram } from './programs.ts';

const internal = ['sequence', 'queuedAt', 'after', 'store', 'constructorOf'];

/** The program with short names, which does what it did before. */
async function shortened(code: string, sourceType: 'module' | 'script' = 'module'): Promise<string> {
  const { code: short } = shorten(asOutput(code), internal, sourceType);
  expect(await runProgram(short)).toEqual(await runProgram(code));
  return short;
}

describe('A variable', () => {
  test('has one short name wherever it had one name', async () => {
    const code = await shortened(`
      function add(queue, event) { queue.push(event); return queue; }
      function remove(event, queue) { return queue.filter((other) => other !== event); }
      seen(add([1], 2), remove(1, [1, 2]));
    `);
    expect(code).toMatch(/function \w\((\w), (\w)\).*function \w\(\2, \1\)/s);
  });

  test('has the name of no other that is seen from where it is used', async () => {
    await shortened(`
      const one = 1, two = 2, three = 3, four = 4;
      function f(five, six = () => one + five, { seven, eight: nine = two } = { seven: 7 }) {
        let ten = seven + nine;
        for (const eleven of [three]) { const twelve = eleven + four; ten += twelve; { var thirteen = twelve; } }
        try { throw ten; } catch (fourteen) { thirteen += fourteen; }
        return [five, six(), ten, thirteen, ((fifteen) => fifteen + one)(15), (function sixteen(n) { return n ? sixteen(n - 1) : two; })(2)];
      }
      for (let one = 0, two = one + 1; one < 2; one++, two++) seen(one, two);
      for (const one of [[2, three]]) { const [two, other] = one; seen(two, other, one.length); }
      switch (one) { case 1: { let one = 5; seen(one); } default: let two = 6; seen(two, four); }
      class Seventeen { own = one; static make(eighteen = two) { return [new Seventeen().own, eighteen]; } }
      const nineteen = class twenty extends Seventeen { again() { return twenty.make(); } };
      seen(f(1), f(2, () => four), new nineteen().again(), Seventeen.make(3));
    `);
  });

  test('has the name of no global and is no keyword', async () => {
    const many = Array.from({ length: 400 }, (_, index) => `v${index}x`);
    const code = await shortened(`
      const e = typeof t, other = typeof $ + typeof n;
      ${many.map((name, index) => `const ${name} = ${index};`).join(' ')}
      seen(e, other, ${many.join(' + ')});
    `);
    const declared = [...code.matchAll(/const (\S+) = \d/g)].map(([, name]) => name);
    expect(new Set(declared).size).toBe(many.length);
    for (const name of ['t', '$', 'n', 'do', 'if', 'in', 'seen']) expect(declared).not.toContain(name);
  });

  test('is exported by the name that it had', () => {
    const { code } = shorten(
      asOutput(
        'import { some as other } from "x"; const createClient = () => other; function warn() {} export { createClient, warn as tell }; export const kept = 1;',
      ),
      internal,
      'module',
    );
    expect(code).toMatch(/import \{ some as \w \} from "x"/);
    expect(code).toMatch(/export \{ \w as createClient, \w as tell \}/);
    expect(code).toContain('export const kept = 1');
  });

  test('has not the name of one that is exported', () => {
    const { code } = shorten(
      asOutput('export const e = 1; const value = e + 1; export { value };'),
      internal,
      'module',
    );
    expect(code).toMatch(/const e = 1;\s*const [^e] = e \+ 1/);
  });

  test('of a whole script keeps its name, which others see', async () => {
    const code = await shortened(
      'var tidemark = (() => { const create = 1; return { create }; })(); seen(tidemark);',
      'script',
    );
    expect(code).toMatch(/var tidemark = .*const \w = 1/s);
  });

  test('may have the name of a label', async () => {
    await shortened(
      'function f(value) { e: for (;;) { for (const t of value) { if (t) break e; else continue e; } } return value; } seen(f([1]));',
    );
  });

  test('keeps its name where the program may look it up', () => {
    const code = 'const value = 1; seen(eval("value"));';
    expect(shorten(asOutput(code), internal, 'module').code).toBe(code);
  });
});

describe('An internal property', () => {
  test('has the short name of the variables of its name', async () => {
    const code = await shortened(`
      const toKept = (events) => events.map(({ sequence, text, queuedAt = 5 }) => ({ sequence, text, queuedAt }));
      seen(toKept([{ sequence: 1, text: 'a' }]).map((event) => [event.sequence, event?.queuedAt, event.text]));
    `);
    expect(code).toMatch(/\{\s*(\w),\s*text: (\w),\s*(\w) = 5\s*\}\) => \(\{\s*\1,\s*text: \2,\s*\3\s*\}\)/);
    expect(code).not.toMatch(/sequence|queuedAt/);
  });

  test('has the name of no other property', async () => {
    const code = await shortened(`
      const object = { e: 1, t: 2, n: 3, 'r': 4, sequence: 5, queuedAt: 6, after() { return 7; } };
      const { e, sequence: other } = object;
      seen(object.e, object.t, object.n, object.r, object.sequence, object.queuedAt, object.after(), object['i'], e, other, Object.keys(object).length);
    `);
    expect(code).not.toMatch(/sequence|queuedAt|after/);
  });

  test('is renamed in methods and classes as well', async () => {
    const code = await shortened(`
      class Queue { sequence = 1; after() { return this.sequence; } get store() { return this.after() + 1; } static queuedAt() { return new Queue().store; } }
      seen(Queue.queuedAt(), new Queue()?.after?.());
    `);
    expect(code).not.toMatch(/sequence|queuedAt|after|store/);
  });

  test.each([
    ['looked up by a string', 'const o = { store: 1, sequence: 2 }; seen(o["store"], o.store, o.sequence);'],
    ['asked for by a string', 'const o = { store: 1, sequence: 2 }; seen("store" in o, o.sequence);'],
    ['given by a string', 'const o = { "store": 1, sequence: 2 }; seen(o.store, o.sequence);'],
    ['taken by a string', 'const { "store": x, sequence: y } = { store: 1, sequence: 2 }; seen(x, y);'],
  ])('keeps its name where it is %s', async (_, code) => {
    const short = await shortened(code);
    expect(short).toContain('store');
    expect(short).not.toContain('sequence');
  });

  test('is not what a variable names, nor a text', async () => {
    const code = await shortened(`
      const store = 'after', o = { [store]: 1, sequence: 2 };
      seen(o[store], 'sequence', \`after \${o.sequence}\`);
    `);
    expect(code).toMatch(/'after'.*'sequence'/s);
  });
});

test('Other properties keep their names, whatever variables they come from and go to', async () => {
  const code = await shortened(`
    const f = ({ url, key = url, ...rest }) => ({ url, key, rest, more: { url: key } });
    let url; ({ url, key: url = 3 } = { url: 1 });
    seen(f({ url: 1, other: 2 }), f({ url: 1, key: 2 }), url);
  `);
  expect(code).toMatch(/url: \w,\s*key: \w = \w/);
});

test('The names are the same every time', () => {
  const code = 'const a = (event, queue) => ({ sequence: event, queue }); seen(a(1, 2).sequence);';
  expect(shorten(asOutput(code), internal, 'module')).toEqual(shorten(asOutput(code), internal, 'module'));
});

describe('A name that is known', () => {
  const code = `
    const f = (event, queue) => ({ sequence: event, queue }), g = (queue, other) => [queue, other];
    seen(f(1, 2).sequence, g(3, 4));
  `;

  /** The names that are chosen, by what has them; with them the program does what it did before. */
  async function chosen(known: KnownNames): Promise<ReadonlyMap<string, string>> {
    const naming = createNaming(asOutput(code), internal, 'module');
    if (naming === undefined) throw new Error('no name may be changed');
    const names = naming.choose(known);
    expect(await runProgram(naming.print(names).code)).toEqual(await runProgram(code));
    return new Map([...names].map(([{ key }, name]) => [key, name]));
  }

  test('is given where it is free', async () => {
    const names = await chosen({ queue: 'r', event: 'n', sequence: 'n' });
    expect([names.get('queue'), names.get('event'), names.get('sequence')]).toEqual(['r', 'n', 'n']);
  });

  test('is not given where another would be hidden, nor that of a global or of another property', async () => {
    const names = await chosen({ event: 'e', queue: 'e', other: 'e', f: 'seen', sequence: 'queue' });
    expect([names.get('event'), names.get('queue')].filter((name) => name === 'e')).toHaveLength(1);
    expect(names.get('f')).not.toBe('seen');
    expect(names.get('sequence')).not.toBe('queue');
  });

  test('is not taken for that of something else that is not known', async () => {
    const names = await chosen({ other: 'e' });
    expect(names.get('other')).toBe('e');
    expect(names.get('queue')).not.toBe('e');
  });
});
