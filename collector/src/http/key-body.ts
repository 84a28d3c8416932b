import { streamNamePattern } from '@tidemark/core/wire';
import { z } from 'zod';
import type { NewKey } from '../store/keys.ts';
import { matchesPattern } from './authenticate-pattern.ts';

const listMax = 100;
/** Postgres holds them as integers. */
const perSecondMax = 2_147_483_647;

const streamPattern = z
  .string()
  .regex(/^[A-Za-z0-9._*-]{1,64}$/, 'must be a stream name, in which * stands for any run of characters');

/** Scheme and host, with a port where it is not the usual one; no path, as browsers send none. */
const origin = z
  .string()
  .max(260)
  .regex(
    /^([a-z][a-z0-9+.-]*|\*):\/\/[a-z0-9._*[\]:-]+$/,
    'must be like https://shop.example.com or https://*.example.com: lower case, without a path',
  );

const perSecond = z.int().min(1).max(perSecondMax);

/** What makes a key, over HTTP as on the command line. */
export const keyBody = z
  .strictObject({
    role: z.enum(['write', 'read', 'admin']).describe('An admin key may do everything.'),
    streams: z
      .array(streamPattern)
      .min(1)
      .max(listMax)
      .exactOptional()
      .describe('The streams it is for; `*` stands for any run of characters. Default: all.'),
    origins: z
      .array(origin)
      .min(1)
      .max(listMax)
      .exactOptional()
      .describe(
        'The pages that may use it, such as `https://*.example.com`. Default: all, and programs too.',
      ),
    quotas: z
      .strictObject({ eventsPerSecond: perSecond.exactOptional(), bytesPerSecond: perSecond.exactOptional() })
      .exactOptional()
      .describe(
        'What it may send to one collector; bytes are those of bodies on the wire. Default: no limit.',
      ),
    defaultStream: z
      .string()
      .regex(streamNamePattern, 'must have 1 to 64 letters, digits, dots, underscores and dashes')
      .exactOptional()
      .describe('Where events go that name no stream. Default: `default`.'),
  })
  .check(({ value: { role, streams, defaultStream, quotas }, issues }) => {
    const refuse = (field: string, message: string) =>
      issues.push({ code: 'custom', input: undefined, path: [field], message });
    if (role === 'admin' && streams !== undefined) refuse('streams', 'an admin key is for all streams');
    if (role === 'read' && quotas !== undefined) refuse('quotas', 'a read key sends nothing');
    if (role === 'read' && defaultStream !== undefined) refuse('defaultStream', 'a read key sends nothing');
    if (defaultStream !== undefined && streams?.some((one) => matchesPattern(one, defaultStream)) === false) {
      refuse('defaultStream', 'must be one of the streams that the key is for');
    }
  });

/** The stored form of it. */
export function newKeyOf({ quotas, ...key }: z.infer<typeof keyBody>, hash: Buffer): NewKey {
  return { ...key, ...quotas, hash };
}
