import { describe, expect, test } from 'vitest';
import { openBody } from '../../../../collector/src/http/open-body.ts';
import { createFakeClock } from '../../../harness/clock.ts';

function createCase(pieces: (signal: AbortSignal) => AsyncGenerator<string>) {
  const clock = createFakeClock();
  let ends = 0;
  const body = openBody(pieces, {
    clock,
    stallMs: 30_000,
    onEnd: () => {
      ends += 1;
    },
  });
  return { clock, reader: body.getReader(), ends: () => ends };
}

const textOf = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

describe('an open body', () => {
  test('G5 makes a piece when it is asked for one, and none ahead', async () => {
    let made = 0;
    const { reader, ends } = createCase(async function* numbers() {
      for (;;) yield `${++made};`;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(made).toBe(0);
    expect(textOf((await reader.read()).value)).toBe('1;');
    expect(textOf((await reader.read()).value)).toBe('2;');
    expect([made, ends()]).toEqual([2, 0]);
  });

  test('ends once its pieces end', async () => {
    const { reader, ends, clock } = createCase(async function* one() {
      yield 'only';
    });
    await reader.read();
    expect((await reader.read()).done).toBe(true);
    expect([ends(), clock.waiting()]).toEqual([1, 0]);
  });

  test('ends when its reader goes away, and tells those who make the pieces', async () => {
    let told = false;
    const { reader, ends, clock } = createCase(async function* waiting(signal) {
      yield 'first';
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve());
      });
      told = true;
    });
    await reader.read();
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    void reader.read();
    await settle();
    await reader.cancel();
    await settle();
    expect([told, ends(), clock.waiting()]).toEqual([true, 1, 0]);
  });

  test('breaks off when a piece was not taken for 30 s', async () => {
    const { reader, ends, clock } = createCase(async function* endless() {
      for (;;) yield 'piece';
    });
    await reader.read();
    await clock.advance(29_999);
    expect(ends()).toBe(0);
    await clock.advance(1);
    expect(ends()).toBe(1);
    await expect(reader.read()).rejects.toThrow('took nothing');
  });

  test('that nobody ever reads ends as well', async () => {
    const { ends, clock } = createCase(async function* endless() {
      for (;;) yield 'piece';
    });
    await clock.advance(29_999);
    expect(ends()).toBe(0);
    await clock.advance(1);
    expect([ends(), clock.waiting()]).toEqual([1, 0]);
  });

  test('breaks off with the error of its pieces', async () => {
    const { reader, ends } = createCase(async function* broken() {
      yield 'first';
      throw new Error('broken');
    });
    await reader.read();
    await expect(reader.read()).rejects.toThrow('broken');
    expect(ends()).toBe(1);
  });
});
