import { parseObject } from '@tidemark/core';
import type { Page, WindowsPage } from '@tidemark/core/wire';

/** A page with the text of each event as it was sent: numbers keep all their digits. */
export interface RawPage extends Page {
  readonly texts: readonly string[];
}

export function parseRawPage(text: string): RawPage | undefined {
  const page = parseObject(text) as Partial<Page>;
  if (!Array.isArray(page.events) || typeof page.nextCursor !== 'string') return undefined;
  const texts = elementsOf(text, 'events');
  return texts.length === page.events.length ? { ...(page as Page), texts } : undefined;
}

/** The same of windows. */
export interface RawWindowsPage extends WindowsPage {
  readonly texts: readonly string[];
}

export function parseRawWindows(text: string): RawWindowsPage | undefined {
  const page = parseObject(text) as Partial<WindowsPage>;
  if (!Array.isArray(page.windows) || typeof page.nextCursor !== 'string') return undefined;
  const texts = elementsOf(text, 'windows');
  return texts.length === page.windows.length ? { ...(page as WindowsPage), texts } : undefined;
}

/** The objects in an array of a JSON object, as they stand there. Preconditions: the text is JSON, and the array its first of that name. */
function elementsOf(text: string, name: string): string[] {
  const found: string[] = [];
  const start = text.indexOf('[', text.indexOf(`"${name}"`));
  let depth = 0;
  let begin = 0;
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at);
    else if (character === '{' || character === '[') {
      if (depth === 0) begin = at;
      depth += 1;
    } else if (character === '}' || character === ']') {
      if (depth === 0) break;
      depth -= 1;
      if (depth === 0) found.push(text.slice(begin, at + 1));
    }
  }
  return found;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}
