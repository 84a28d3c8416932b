import { hash } from 'node:crypto';

/**
 * What an id is known by in the claims table: 16 bytes as a UUID, whatever the id is.
 *
 * An id that is a UUID in lower case is its own claim, so that time-ordered ones keep their locality. Anything else becomes
 * the first 16 bytes of its SHA-256 with the version set to 8, "custom" (RFC 9562). UUIDs that already have version 8 count
 * as anything else: so the two families cannot meet, and no one can make up an id that takes another's claim.
 */
export function claimOf(id: string): string {
  if (ownClaim.test(id)) return id;
  const digest = hash('sha256', id, 'hex');
  const variant = '89ab'[Number.parseInt(digest.charAt(16), 16) & 3];
  return `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-${variant}${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
}

/** A canonical UUID of any version but 8. */
const ownClaim = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
