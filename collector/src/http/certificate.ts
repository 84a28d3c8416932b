import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

/** What the collector shows to prove who it is: a chain of certificates and the key of the first, as PEM. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A certificate that cannot be used; the message says why and what to do. */
export class UnfitCertificateError extends Error {
  override readonly name = 'UnfitCertificateError';
}

/** Reads both files. Rejects with `UnfitCertificateError`. */
export async function readCertificate(files: {
  readonly cert: string;
  readonly key: string;
}): Promise<Certificate> {
  const [cert, key] = await Promise.all([
    readPart('TIDEMARK_TLS_CERT', files.cert),
    readPart('TIDEMARK_TLS_KEY', files.key),
  ]);
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw new UnfitCertificateError(
      `${files.cert} and ${files.key} are not a certificate and its key (${String(cause)}): both must be PEM files that belong together.`,
      { cause },
    );
  }
  return { cert, key };
}

async function readPart(variable: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UnfitCertificateError(`${variable} cannot be read (${String(cause)}).`, { cause });
  }
}
