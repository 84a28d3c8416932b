import { formatTime } from '@tidemark/core/wire';
import type { Clock } from './clock.ts';
import type { Command } from './command.ts';
import { createKey } from './http/authenticate-key.ts';
import { newKeyOf } from './http/key-body.ts';
import { describeKey } from './http/keys.ts';
import { keyIdPattern, type Keys } from './store/keys.ts';

/** A command about keys that cannot be done; the message says what to do instead. */
export class KeysCommandError extends Error {
  override readonly name = 'KeysCommandError';
}

export type KeysCommand = Extract<Command, { json: boolean }>;

export interface KeysCommandDependencies {
  readonly keys: Pick<Keys, 'add' | 'list' | 'revoke'>;
  readonly clock: Pick<Clock, 'randomBytes'>;
  /** Takes a line of the answer. */
  readonly print: (line: string) => void;
}

const listedAtOnce = 1_000;

/** `keys create`, `keys list` and `keys revoke`. */
export async function runKeysCommand(
  command: KeysCommand,
  { keys, clock, print }: KeysCommandDependencies,
): Promise<void> {
  switch (command.do) {
    case 'createKey': {
      const { key, hash } = createKey(command.key.role, clock.randomBytes);
      const id = await keys.add(newKeyOf(command.key, hash));
      print(
        command.json ? JSON.stringify({ id, key }) : `id   ${id}\nkey  ${key}   shown only now, so keep it`,
      );
      return;
    }
    case 'listKeys': {
      let after: string | undefined;
      do {
        // Each page begins where the one before it ends.
        // oxlint-disable-next-line no-await-in-loop
        const page = await keys.list(after, listedAtOnce);
        for (const key of page) {
          const described = describeKey(key);
          print(command.json ? JSON.stringify(described) : lineOf(described));
        }
        after = page.length === listedAtOnce ? page.at(-1)?.keyId : undefined;
      } while (after !== undefined);
      return;
    }
    case 'revokeKey': {
      const { id } = command;
      const revokedAt = keyIdPattern.test(id) ? await keys.revoke(id) : undefined;
      if (revokedAt === undefined)
        throw new KeysCommandError(`There is no key with the id ${JSON.stringify(id)}: see keys list.`);
      const at = formatTime(revokedAt);
      print(command.json ? JSON.stringify({ id, revokedAt: at }) : `${id} was revoked at ${at}`);
    }
  }
}

function lineOf({ id, role, streams, origins, quotas, ...key }: ReturnType<typeof describeKey>): string {
  const facts = [
    streams === null ? undefined : `streams ${streams.join(' ')}`,
    origins === null ? undefined : `origins ${origins.join(' ')}`,
    quotas.eventsPerSecond === null ? undefined : `${quotas.eventsPerSecond} events/s`,
    quotas.bytesPerSecond === null ? undefined : `${quotas.bytesPerSecond} bytes/s`,
    key.defaultStream === null ? undefined : `default stream ${key.defaultStream}`,
    key.revokedAt === null ? undefined : `revoked ${key.revokedAt}`,
  ];
  const told = facts.filter((fact) => fact !== undefined).join(', ');
  return `${id}  ${role.padEnd(5)}  made ${key.createdAt}  ${told}`.trimEnd();
}
