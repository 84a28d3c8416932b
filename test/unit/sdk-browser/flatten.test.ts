import { describe, expect, test } from 'vitest';
import { flatten } from '../../../sdk-browser/build/flatten/flatten.ts';
import { asOutput, runProgram } from './programs.ts';

/** The program after flatten, which does what it did before. */
async function flattened(code: string): Promise<string> {
  const { code: flat } = flatten(asOutput(code));
  const before = await runProgram(code);
  expect(before).not.toEqual([]);
  expect(await runProgram(flat)).toEqual(before);
  return flat;
}

describe('A function that is called at one place', () => {
  test('goes there, with its functions and a state of its own for every call', async () => {
    const flat = await flattened(`
      function createCounter(start) {
        let count = start;
        return { up };
        function up() { return ++count; }
      }
      function client(first) {
        const counter = createCounter(first);
        return { next: () => counter.up() };
      }
      const a = client(1), b = client(10);
      seen(a.next(), a.next(), b.next(), a.next());
    `);
    expect(flat).not.toMatch(/createCounter|counter\./);
  });

  test('goes there from anywhere in the program', async () => {
    const flat = await flattened(`
      seen(outer(1));
      function outer(x) { const y = middle(x); return y * 2; }
      function middle(x) { return inner(x + 1); }
      function inner(x) { return x + 10; }
    `);
    expect(flat).not.toMatch(/middle|inner/);
  });

  test('goes where only its effect is wanted, also into what was no block', async () => {
    const flat = await flattened(`
      function outer(x) {
        if (x) tell(x);
        else void tellOther();
        last();
      }
      function tell(x) { const twice = x * 2; seen(twice); }
      function tellOther() { seen('other'); }
      function last() { seen('last'); return seen('value'); }
      outer(1);
      outer(0);
    `);
    expect(flat).not.toMatch(/tell|last\(/);
  });

  test('may return in several ways where the caller returns what it returns', async () => {
    const flat = await flattened(`
      function outer(x) { if (x >= 0) { try { return which(x); } finally { seen('finally'); } seen('never'); } }
      function which(x) { if (x > 1) return 'many'; if (x === 1) return 'one'; }
      seen(outer(2)); seen(outer(1)); seen(outer(0));
    `);
    expect(flat).not.toContain('which');
  });

  test('stays where it returns in several ways and the caller goes on', async () => {
    const flat = await flattened(`
      function outer(x) { const y = which(x); return y + '!'; }
      function which(x) { if (x > 1) return 'many'; return 'few'; }
      seen(outer(2), outer(1));
    `);
    expect(flat).toContain('which(');
  });

  test('gets its arguments evaluated first, in their order, once', async () => {
    await flattened(`
      const say = (x) => { seen(x); return x; };
      function outer() {
        const made = create(say({ b: 1 }), say('second'), say([3]));
        seen(made);
      }
      function create({ b: part }, second, [third]) { seen('body'); return [part, second, third, part]; }
      outer();
    `);
  });

  test('takes an argument apart only when all are evaluated', async () => {
    await flattened(`
      function outer() {
        const x = create({ get a() { seen('a'); return 1; } }, seen('second'));
        seen(x);
      }
      function create({ a }, b) { return [a, b]; }
      outer();
    `);
  });

  test('keeps the value that a variable had when it was called', async () => {
    const flat = await flattened(`
      function outer() {
        let x = 1;
        const get = create(x);
        x = 2;
        seen(get(), x);
      }
      function create(value) { return () => value; }
      outer();
    `);
    expect(flat).not.toContain('create');
  });

  test('may assign to its parameters', async () => {
    const flat = await flattened(`
      function outer(x) { const y = create(x); seen(x, y()); }
      function create(value) { value += 1; return () => value++; }
      outer(1);
    `);
    expect(flat).not.toContain('create');
  });

  test('has undefined for an argument that is missing', async () => {
    const flat = await flattened(`
      function outer() { const y = create(1); seen(y); }
      function create(a, b) { return [a, b]; }
      outer();
    `);
    expect(flat).not.toContain('create');
  });

  test('has variables of its own in every round of a loop', async () => {
    const flat = await flattened(`
      const all = [];
      for (const x of [1, 2, 3]) {
        const f = create(x);
        all.push(f);
      }
      function create(x) { let y = x; const again = () => y++; return () => again() + helper(); function helper() { return y; } }
      for (const f of all) seen(f(), f());
    `);
    expect(flat).not.toContain('create');
  });

  test('captures no name of the place to which it goes', async () => {
    const flat = await flattened(`
      const value = 'outer';
      function read() { return [value, typeof name]; }
      function outer(value, name) { const got = read(); return [got, value, name]; }
      seen(outer('inner', 'x'));
    `);
    expect(flat).not.toMatch(/read\(/);
  });

  test.each([
    [
      'it is called twice',
      'function outer() { const a = create(); const b = create(); return [a, b]; } function create() { return 1; }',
    ],
    [
      'it is passed on',
      'function outer() { const a = create(1); return [a, [1].map(create)]; } function create(x) { return x; }',
    ],
    [
      'it is recursive',
      'function outer() { return create(3); } function create(n) { const x = n > 0 ? create(n - 1) : 0; return x + 1; }',
    ],
    ['it only calls itself', 'function outer() { return 1; } function create(n) { return create(n - 1); }'],
    [
      'it is async',
      'function outer() { const a = create(); return a; } async function create() { return 1; }',
    ],
    [
      'it is a generator',
      'function outer() { const a = create(); return [...a]; } function* create() { yield 1; return 2; }',
    ],
    [
      'it uses arguments',
      'function outer() { const a = create(1, 2); return a; } function create(x, y) { return arguments.length; }',
    ],
    [
      'it uses this',
      'function outer() { const a = create(1); return a; } function create(x) { return String(this); }',
    ],
    [
      'it knows new',
      'function outer() { const a = create(1); return a; } function create(x) { return String(new.target); }',
    ],
    [
      'it has a default',
      'function outer() { const a = create(); return a; } function create(x = 5) { return x; }',
    ],
    [
      'it has a rest',
      'function outer() { const a = create(1, 2); return a; } function create(...x) { return x; }',
    ],
    [
      'it gets a list',
      'function outer() { const a = create(...[1, 2]); return a; } function create(x, y) { return [x, y]; }',
    ],
    [
      'it gets too much',
      'function outer() { const a = create(1, seen("more")); return a; } function create(x) { return x; }',
    ],
    [
      'it has var',
      'function outer() { const all = []; for (const x of [1, 2]) { const a = create(x); all.push(a); } return all.map((f) => f()); } function create(x) { var y; const old = y; y = x; return () => [old, y]; }',
    ],
    [
      'it has labels',
      'function outer() { a: for (;;) { const x = create(); return x; } } function create() { a: for (;;) break a; return 1; }',
    ],
    [
      'it is called in an expression',
      'function outer(x) { const a = x ? create() : 0; return a; } function create() { seen("create"); return 1; }',
    ],
    [
      'it is called in the head of a loop',
      'function outer() { for (const a = create(); ; ) return a; } function create() { return 1; }',
    ],
    [
      'it is assigned',
      'function outer() { const a = create(); return a; } function create() { return 1; } create = () => 2;',
    ],
  ])('stays where %s', async (_, code) => {
    const flat = await flattened(`${code} seen(outer(0));`);
    expect(flat).toContain('create');
  });

  test('stays where it is exported', () => {
    const exported =
      'function outer() { const a = create(); seen(a); } function create() { return 1; } outer();';
    expect(flatten(asOutput(`${exported} export { create };`)).code).toContain('create()');
    expect(flatten(asOutput(exported.replace('function create', 'export function create'))).code).toContain(
      'create()',
    );
  });
});

describe('An object that never leaves', () => {
  test('becomes variables', async () => {
    const flat = await flattened(`
      function outer() {
        const load = { events: 0, bytes: 0, add(bytes) { load.events++; load.bytes += bytes; } };
        load.add(10);
        load.add(20);
        return [load.events, load.bytes];
      }
      seen(outer());
    `);
    expect(flat).not.toMatch(/load|\./);
  });

  test('is written from anywhere, also by patterns and loops', async () => {
    const flat = await flattened(`
      const one = 1;
      const o = { a: one, b: 2, c: 3 };
      function change() { o.a += one + 4; [o.b] = [7]; ({ x: o.c } = { x: 9 }); }
      change();
      seen(o.a, o.b, o.c);
      for (o.a of [1, 2]) seen(o.a);
    `);
    expect(flat).not.toMatch(/o\.[abc]/);
  });

  test('is taken apart with the values of that moment', async () => {
    const flat = await flattened(`
      const o = { count: 1, up() { o.count++; }, list: [1, [2]] };
      const { count, up, list: [first, [second]], missing } = o;
      up();
      seen(count, o.count, first, second, missing);
    `);
    expect(flat).not.toMatch(/\bo\b/);
  });

  test('has undefined for what is no member', async () => {
    const flat = await flattened(`
      const o = { a: (x) => x };
      seen(o.b, o.b?.(seen('never')), o.b?.c, o.a?.(1), o.a?.(2).c?.d);
    `);
    expect(flat).not.toMatch(/\bo\b/);
  });

  test('evaluates its members in order, and the last of one name counts', async () => {
    const flat = await flattened(`
      const say = (x) => { seen(x); return x; };
      const o = { a: say(1), b: say(2), a: say(3) };
      seen(o.a, o.b);
    `);
    expect(flat).not.toMatch(/\bo\b/);
  });

  test('is another one in every round of a loop', async () => {
    const flat = await flattened(`
      const all = [];
      for (let i = 0; i < 3; i++) { const o = { n: i, up() { return ++o.n; } }; all.push(() => o.up()); }
      for (const f of all) seen(f(), f());
    `);
    expect(flat).not.toMatch(/\bo\b/);
  });

  test('may have async functions and generators, and keywords for names', async () => {
    const flat = await flattened(`
      const o = { async delete() { return 1; }, *new() { yield 2; }, async: 3 };
      seen(o.delete(), [...o.new()], o.async);
    `);
    expect(flat).not.toMatch(/\bo\b/);
  });

  test.each([
    ['it is passed on', 'const o = { a: 1 }; seen(o); seen(o.a);'],
    ['it is exported as text', 'const o = { a: 1 }; seen(JSON.stringify(o), o.a);'],
    ['it is compared', 'const o = { a: 1 }; seen(o.a, o === null);'],
    ['it is assigned', 'let o = { a: 1 }; o = { a: 2 }; seen(o.a);'],
    ['a member has a computed name', 'const k = "a"; const o = { [k]: 1 }; seen(o.a);'],
    ['a member is looked up', 'const o = { a: 1 }; for (const k of ["a", "b"]) seen(o[k]);'],
    ['a member is deleted', 'const o = { a: 1 }; delete o.a; seen(o.a);'],
    ['a method uses this', 'const o = { a: 1, get2() { return this.a; } }; seen(o.get2());'],
    ['a function uses this', 'const o = { a: 1, get2: function () { return this.a; } }; seen(o.get2());'],
    ['a known function uses this', 'const o = { a: 1, f }; function f() { return this.a; } seen(o.f());'],
    [
      'an unknown function may use this',
      'function g(f) { const o = { a: 1, f }; return o.f(); } seen(g(function () { return this.a; }), g(() => 1));',
    ],
    [
      'a function that comes later may use this',
      'const o = { a: 1, f: null }; o.f = function () { return this.a; }; seen(o.f());',
    ],
    ['a tag may use this', 'const o = { a: 1, f: function () { return this.a; } }; seen(o.f`x`);'],
    ['it has a getter', 'let n = 0; const o = { get a() { return ++n; } }; seen(o.a, o.a);'],
    ['it has a setter', 'const o = { set a(x) { seen(x); } }; o.a = 1;'],
    ['it gets new members', 'const o = { a: 1 }; o.b = 2; seen(o.a, o.b);'],
    ['it is used as every object', 'const o = { a: 1 }; seen(o.toString(), o.a);'],
    [
      'everything else is taken out of it',
      'const o = { a: 1, b: 2 }; const { a, ...rest } = o; seen(a, rest);',
    ],
    ['it is taken apart with a default', 'const o = { a: void 0 }; const { a = 3 } = o; seen(a);'],
    ['it has a prototype of its own', 'const o = { __proto__: { b: 1 } }; seen(o.b);'],
    ['it is asked whether it is there', 'const o = { a: 1 }; seen(o?.a);'],
    [
      'a method uses super',
      'const o = { f() { return super.toString === Object.prototype.toString; } }; const { f } = o; seen(f());',
    ],
    ['it is a var of a function', 'function f() { seen(typeof o, o?.a); var o = { a: 1 }; seen(o.a); } f();'],
  ])('stays where %s', async (_, code) => {
    expect(await flattened(code)).toMatch(/\bo\b/);
  });
});

describe('An object that is spread', () => {
  test('is written out, and the later of two names counts', async () => {
    const flat = await flattened(`
      const clocks = { now: () => 1, later: () => 2 };
      const page = { later: () => 3, name: 'page' };
      function outer() {
        const platform = { kind: 'x', ...clocks, ...page, own: () => 4, name: 'own' };
        return [platform.now(), platform.later(), platform.name, platform.own(), platform.kind];
      }
      seen(outer());
    `);
    expect(flat).not.toMatch(/clocks|platform|\.\.\./);
  });

  test('keeps the order of the names', async () => {
    await flattened(
      'const s = { a: 1, b: 2 }; const o = { z: 0, b: 5, ...s, a: 9 }; seen(JSON.stringify(o));',
    );
  });

  test('may be made by a call', async () => {
    const flat = await flattened(`
      function createSender(url) { let sent = 0; return { send: () => url + ++sent }; }
      function outer(url) {
        const platform = { url, ...createSender(url), last: true };
        return [platform.send(), platform.send(), platform.url];
      }
      seen(outer('x'), outer('y'));
    `);
    expect(flat).not.toMatch(/createSender|platform/);
  });

  test.each([
    ['it changes', 'const s = { a: 1 }; s.a = 2; const o = { ...s }; seen(o.a);'],
    [
      'others may change it',
      'const s = { a: 1 }; const t = (x) => { x.a = 2; }; t(s); const o = { ...s }; seen(o.a);',
    ],
    [
      'its functions may change it',
      'const s = { a: 1, up: function () { this.a++; } }; s.up(); const o = { ...s }; seen(o.a);',
    ],
    [
      'it has a getter',
      'let n = 0; const s = { get a() { return ++n; } }; const o = { ...s }; seen(o.a, o.a);',
    ],
    ['it is not known', 'function f(s) { const o = { ...s }; return o.a; } seen(f({ a: 1 }), f(null));'],
    [
      'its call comes after another',
      'function s() { seen(2); return { a: 1 }; } function f() { const o = { b: seen(1), ...s() }; return o.a; } seen(f());',
    ],
  ])('stays where %s', async (_, code) => {
    expect(await flattened(code)).toMatch(/\.\.\.s/);
  });
});

describe('A parameter that is the same variable at every call', () => {
  test('is dropped, and the function goes where the variable is', async () => {
    const flat = await flattened(`
      function client(queue) {
        const { max } = { max: 2 };
        const one = () => add(queue, 1, max), two = () => add(queue, 2, max);
        return [one(), two(), queue.length];
      }
      function add(list, value, max) { list.push(value); return list.length <= max; }
      const a = [], b = [];
      seen(client(a), client(b), client(a), a, b);
    `);
    expect(flat).toMatch(/add\w*\(1\)/);
  });

  test('is dropped where it is taken apart', async () => {
    const flat = await flattened(`
      function outer(options) { return [read(1, options), read(2, options)]; }
      function read(n, { a, b: [c] }) { return [n, a, c]; }
      seen(outer({ a: 1, b: [2] }), outer({ a: 3, b: [4] }));
    `);
    expect(flat).toMatch(/read\w*\(1\)/);
  });

  test('is dropped where it is a variable of the whole module', async () => {
    const flat = await flattened(`
      const list = [];
      const add = (x) => { list.push(x); };
      function put(target, x) { target.push(x); return target.length; }
      function a() { return put(list, 1); }
      function b() { return put(list, 2) + put(list, 3); }
      add(0);
      seen(a(), b(), list);
    `);
    expect(flat).toMatch(/put\w*\(1\)/);
  });

  test.each([
    [
      'the variable changes',
      'function outer() { let x = 1; const f = () => put(x, 1); x = 2; return [f(), put(x, 2)]; } function put(x, y) { return [x, y]; }',
    ],
    [
      'it changes itself',
      'function outer() { const x = 1; return [put(x, 1), put(x, 2)]; } function put(x, y) { x += y; return x; }',
    ],
    [
      'it is not the same variable',
      'function outer() { const x = 1, y = 2; return [put(x, 1), put(y, 1)]; } function put(x, y) { return [x, y]; }',
    ],
    [
      'the function is passed on',
      'function outer() { const x = 1; return [put(x, 1), [5, 6].map(put)]; } function put(x, y) { return [x, y]; }',
    ],
    [
      'the function sees all arguments',
      'function outer() { const x = 1; return [put(x, 1), put(x, 2)]; } function put(x, y) { return [...arguments]; }',
    ],
    [
      'the function has a rest',
      'function outer() { const x = 1; return [put(x, 1), put(x, 2)]; } function put(x, ...y) { return [x, y]; }',
    ],
    [
      'a list comes before',
      'function outer() { const x = 1; return [put(...[7, 8], x, 1), put(...[8, 9], x, 2)]; } function put(x, y, z) { return [x, y, z]; }',
    ],
    [
      'the variable is that of a loop',
      'function outer() { const all = []; for (const x of [1, 2]) all.push(put(x, 1), put(x, 2)); return all; } function put(x, y) { return [x, y]; }',
    ],
    [
      'another call is outside',
      'function outer() { const all = []; { const x = 1; all.push(put(x, 1), put(x, 2)); } return [all, put(1, 2)]; } function put(x, y) { return [x, y]; }',
    ],
  ])('stays where %s', async (_, code) => {
    expect(await flattened(`${code} seen(outer());`)).toMatch(/put\w*\((x\w*|\.\.\.\[7, 8\]|1), /);
  });

  test('stays where a call is in a default, which does not see the body', async () => {
    await flattened(`
      function outer(x, y = put(x, 1)) { return [y, put(x, 2)]; }
      function put(x, y) { return [x, y]; }
      seen(outer(1));
    `);
  });
});

describe('A name for something else', () => {
  test('is removed', async () => {
    const flat = await flattened('const first = () => 1; const second = first; seen(second(), second());');
    expect(flat).not.toContain('second');
  });

  test('is removed where it is undefined for ever', async () => {
    const flat = await flattened(`
      function make(full) { return { add: (list) => { full?.(list); seen({ full }, full ?? list.length); } }; }
      const made = make(void 0);
      made.add([1, 2]);
    `);
    expect(flat).not.toContain('let full');
    expect(flat).not.toContain('const full');
  });

  test('stays where one of both changes', async () => {
    await flattened('let a = 1; const b = a; a = 2; let c = b; c++; seen(a, b, c);');
  });

  test('is what a function says that says no more', async () => {
    const flat = await flattened(`
      function outer() {
        let closed = false;
        const isClosed = () => closed;
        const ask = () => list();
        const before = [isClosed(), ask()];
        closed = true;
        return [before, isClosed(), ask()];
        function list() { return [closed]; }
      }
      seen(outer());
    `);
    expect(flat).not.toMatch(/isClosed\(|ask\(/);
  });

  test.each([
    [
      'what it says depends on the call',
      'function f() { const all = () => arguments; const g = function () { return [...all()]; }; return g(3); } seen(f(1, 2));',
    ],
    [
      'the function is passed on',
      'let x = 1; const get = () => x; const all = [get, get]; x = 2; seen(all.map((f) => f()), get());',
    ],
    ['it is made in the head of a loop', 'for (let i = 0, get = () => i; i < 3; i++) seen(get(), i);'],
    ['something is passed to it', 'let x = 1; const get = () => x; seen(get(seen(2)));'],
  ])('stays a function where %s', async (_, code) => {
    expect(await flattened(code)).toMatch(/\(\) =>/);
  });
});

describe('A program', () => {
  test('that can look up variables by name stays as it is', () => {
    const code =
      'function create() { return 1; } function outer() { const a = create(); return eval("a"); } seen(outer());';
    expect(flatten(asOutput(code)).code).toBe(code);
  });

  test('keeps variables of one name apart', async () => {
    await flattened(`
      const b = 1;
      function f(a = () => b) { let b = 2; return [a(), b]; }
      function g(g) { { let g = 3; var h = g; } return [g, h]; }
      const k = class b { static own = () => b; };
      class c { static own = () => c; }
      try { throw 4; } catch (b) { seen(b); }
      for (const b of [b => b]) seen(b(5));
      seen(f(), g(6), k.own() === k, c.own() === c, (function b(b) { return b; })(7), b);
    `);
  });

  test('has the same names for its exports, labels, properties and globals', async () => {
    const code = `
      import { other as x } from 'other';
      const value = 1; const Math$1 = Math;
      function f(value) { a: for (const value of [1]) { continue a; } return { value, f: { value: x } }; }
      class A { value = 1; static make() { return new A(); } }
      export { value, f as g, A };
      export const own = (value) => value;
    `;
    const flat = flatten(asOutput(code)).code;
    expect(flat).toMatch(/export \{ value(\$\d+ as value)?, f as g, A \}/);
    expect(flat).toMatch(/export const own\b/);
    expect(flat).toMatch(/return \{\s+value(: \S+)?,\s+f: \{/);
    expect(flat).toContain("import { other as x } from 'other'");
  });

  test('may go round in circles', async () => {
    await flattened(`
      const a = () => b(), b = () => a();
      const c = () => d();
      const d = () => c();
      function e() { return f(); }
      function f() { return e(); }
      const g = { h: () => g.h() };
      seen(typeof a, typeof d, typeof f);
    `);
  });

  test('becomes the same every time', () => {
    const code = 'function f(x) { const o = { a: x, ...p }; return o.a; } const p = { b: 1 }; seen(f(1));';
    expect(flatten(asOutput(code))).toEqual(flatten(asOutput(code)));
  });
});
