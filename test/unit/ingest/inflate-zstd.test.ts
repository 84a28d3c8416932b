import { describe, expect, test } from 'vitest';
import { isWholeZstdFrame } from '../../../collector/src/ingest/inflate-zstd.ts';

describe.each([
  ['of one block', 'KLUv/SANaQAAeyJldmVudHMiOltdfQ=='],
  ['with a checksum', 'KLUv/SQNaQAAeyJldmVudHMiOltdfeVqLIQ='],
  ['with runs', 'KLUv/aTgkwQAVAAAEHh4AQD7/znAAgIAEHgDnwR4j3Kbog=='],
  ['that does not say its size', 'KLUv/QAAdQAAOGV2ZW50cyABAA5SixE='],
  ['that says its size in two bytes', 'KLUv/WAYAHUAADhldmVudHMgAQAOUosR'],
])('a zstd frame %s', (_, base64) => {
  const frame = Buffer.from(base64, 'base64');

  test('is whole', () => {
    expect(isWholeZstdFrame(frame)).toBe(true);
  });

  test('is not whole when it is cut, and not alone when something follows', () => {
    for (let length = 0; length < frame.length; length++)
      expect([length, isWholeZstdFrame(frame.subarray(0, length))]).toEqual([length, false]);
    expect(isWholeZstdFrame(Buffer.concat([frame, Buffer.from([0])]))).toBe(false);
    expect(isWholeZstdFrame(Buffer.concat([frame, frame]))).toBe(false);
  });
});
