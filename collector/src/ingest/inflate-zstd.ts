/**
 * Whether bytes are one whole zstd frame (RFC 8878, 3.1.1). Node gives what there is of a frame that was cut short and says
 * nothing, so it has to be found out by going from block to block.
 */
export function isWholeZstdFrame(bytes: Uint8Array): boolean {
  const [m0, m1, m2, m3, descriptor = 0] = bytes;
  if (m0 !== 0x28 || m1 !== 0xb5 || m2 !== 0x2f || m3 !== 0xfd) return false;
  const singleSegment = (descriptor >> 5) & 1;
  const contentSizeBytes = [singleSegment, 2, 4, 8][descriptor >> 6] ?? 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const checksumBytes = (descriptor >> 2) & 1 ? 4 : 0;

  let at = 5 + (1 - singleSegment) + dictionaryBytes + contentSizeBytes;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) return false;
    const header = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
    last = (header & 1) === 1;
    const isRun = ((header >> 1) & 3) === 1;
    at += 3 + (isRun ? 1 : header >> 3);
  }
  return at + checksumBytes === bytes.length;
}
