import { passSpace, type Scan } from './decode-scan.ts';
import { enterObject, nameOf, nextMember, passValue } from './decode-value.ts';

/** The members of an object: the JSON text of each value, as it was sent. */
export type Members = Map<string, string>;

/**
 * The members of the object at `start`, the last of those with the same name, and the place behind it. Throws BrokenJson. For
 * formats whose members become parts of an event: what is not looked into is not changed.
 */
export function readMembers(scan: Scan, start: number): { readonly members: Members; readonly end: number } {
  const members: Members = new Map();
  let at = enterObject(scan, start);
  while (at > 0) {
    const name = nameOf(scan);
    const value = passSpace(scan, at);
    at = passValue(scan, value, 2);
    members.set(name, scan.bytes.toString('utf8', value, at));
    at = nextMember(scan, at);
  }
  return { members, end: -at };
}

/** The JSON text of an object with these members. */
export function objectText(members: Iterable<readonly [name: string, value: string]>): string {
  return `{${Array.from(members, ([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
}

/** The text that a member holds, or undefined where it is missing or no string. */
export function memberText(members: Members, name: string): string | undefined {
  const value = members.get(name);
  return value?.startsWith('"') ? String(JSON.parse(value)) : undefined;
}
