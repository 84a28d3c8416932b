import { open, readFile, rename } from 'node:fs/promises';

/** Where a read has come to. */
export interface CursorFile {
  readonly stream: string;
  readonly cursor: string;
  /** Length of the output up to the cursor; undefined where it goes to a pipe. */
  readonly bytes?: number | undefined;
}

/** Undefined: there is none yet. */
export async function loadCursor(path: string, stream: string): Promise<CursorFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const saved = parse(text);
  if (saved === undefined) throw new Error(`${path} is not a cursor file`);
  if (saved.stream !== stream)
    throw new Error(`${path} belongs to the stream ${saved.stream}, not to ${stream}`);
  return saved;
}

/** It is the old one or the new one, whatever happens in between. */
export async function saveWhole(path: string, content: object): Promise<void> {
  const making = `${path}.${process.pid}.tmp`;
  const file = await open(making, 'w');
  try {
    await file.writeFile(`${JSON.stringify(content)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(making, path);
}

function parse(text: string): CursorFile | undefined {
  try {
    const saved = JSON.parse(text) as Partial<CursorFile>;
    const whole = typeof saved.stream === 'string' && typeof saved.cursor === 'string';
    return whole ? (saved as CursorFile) : undefined;
  } catch {
    return undefined;
  }
}
