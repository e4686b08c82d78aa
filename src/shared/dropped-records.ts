/** What the key-value database itself says of records that it lost. */
import type { Disk } from './environment.js';

/** How LevelDB says in its own log that it left records out when it opened. */
const DROPPED = /^.*(?:dropping|ignoring error).*$/im;

/**
 * The first line of the database's own log that tells of lost records, `undefined` where none does:
 * LevelDB opens without an error over damage in the middle of its write-ahead log, and goes on with
 * what is left. It begins the log anew at each open, and keeps the one before as `LOG.old`: `file`
 * says which to look at.
 */
export async function droppedRecords(
  disk: Pick<Disk, 'readFile'>,
  databasePath: string,
  file: 'LOG' | 'LOG.old' = 'LOG',
): Promise<string | undefined> {
  const bytes = await disk.readFile(`${databasePath}/${file}`);
  return bytes && DROPPED.exec(Buffer.from(bytes).toString('latin1'))?.[0];
}
