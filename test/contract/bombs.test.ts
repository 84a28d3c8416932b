import { constants, createBrotliCompress, deflateRawSync, gzipSync } from 'node:zlib';
import type { Problem } from '@tidemark/core/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CollectorProcess, startCollectorProcess } from '../harness/collector-process.ts';
import { createTestDatabase, type TestDatabase } from '../harness/postgres.ts';

let database: TestDatabase;
let collector: CollectorProcess;

beforeAll(async () => {
  database = await createTestDatabase();
  collector = await startCollectorProcess({ environment: { DATABASE_URL: database.url } });
});

afterAll(async () => {
  await collector.stop();
  await database.drop();
});

const mebibyte = 1_048_576;

/** Members behind each other are one gzip file, and so as many as fit into a body: about 1 GiB, the most that deflate can do. */
function gzipBomb(): Buffer {
  const member = gzipSync(Buffer.alloc(16 * mebibyte, 32), { level: 9 });
  return Buffer.concat(Array.from({ length: Math.floor(mebibyte / member.length) }, () => member));
}

/** Deflate blocks that are flushed stand alone: the same ones can follow each other. */
function deflateBomb(): Buffer {
  const block = deflateRawSync(Buffer.alloc(16 * mebibyte, 32), {
    level: 9,
    finishFlush: constants.Z_FULL_FLUSH,
  });
  return Buffer.concat(Array.from({ length: Math.floor(mebibyte / block.length) }, () => block));
}

/** Brotli's pieces, when they are flushed, repeat themselves after the first two: 700 of 16 MiB are more than 10 GiB. */
async function brotliBomb(): Promise<Buffer> {
  const brotli = createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
  const pieces: Buffer[] = [];
  brotli.on('data', (chunk: Buffer) => pieces.push(chunk));
  const lengths: number[] = [];
  for (let piece = 0; piece < 4; piece += 1) {
    brotli.write(Buffer.alloc(16 * mebibyte, 32));
    await new Promise<void>((resolve) => {
      brotli.flush(constants.BROTLI_OPERATION_FLUSH, resolve);
    });
    lengths.push(Buffer.concat(pieces).length);
  }
  brotli.destroy();
  const all = Buffer.concat(pieces);
  const [, , third = 0, fourth = 0] = lengths;
  const last = all.subarray(third, fourth);
  expect(all.subarray(third - last.length, third).equals(last)).toBe(true);
  return Buffer.concat([all, ...Array.from({ length: 700 }, () => last)]);
}

async function residentMebibytes(): Promise<number> {
  const metrics = await (await fetch(`${collector.url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\d+)$/m.exec(metrics)?.[1]) / mebibyte;
}

test.each([
  ['gzip', gzipBomb],
  ['deflate', deflateBomb],
  ['br', brotliBomb],
])('G5 a bomb in %s is refused at the limit, and costs no memory', async (encoding, make) => {
  const body = new Uint8Array(await make());
  expect(body.length).toBeLessThanOrEqual(mebibyte);
  const send = () =>
    fetch(`${collector.url}/v1/events`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${collector.keys.write}`,
        'content-type': 'application/json',
        'content-encoding': encoding,
      },
      body,
    });
  // The first ones warm up what is kept for later.
  await Promise.all(Array.from({ length: 8 }, send));
  const before = await residentMebibytes();
  let most = before;
  for (let round = 0; round < 5; round += 1) {
    const replies = await Promise.all(Array.from({ length: 8 }, send));
    for (const reply of replies) {
      expect(reply.status).toBe(413);
      const { code, limit, actual } = (await reply.json()) as Problem;
      expect([code, limit]).toEqual(['body_too_large', 8 * mebibyte]);
      expect(actual).toBeGreaterThan(8 * mebibyte);
    }
    most = Math.max(most, await residentMebibytes());
  }
  // Less than two of them in full would take, let alone forty.
  expect(most - before).toBeLessThan(128);
});
