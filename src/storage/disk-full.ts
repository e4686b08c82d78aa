/** Telling a full disk from other failures. */

const FULL_CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT'];
/** LevelDB passes on the words of the system, not its code. */
const FULL_WORDS = /no space left|disk quota exceeded|\bENOSPC\b|\bEDQUOT\b/i;

/** Whether the disk, or the quota on it, was full: said by the error or by one of its causes. */
export function isDiskFull(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ('code' in error && FULL_CODES.includes(error.code)) return true;
    if (FULL_WORDS.test(error.message)) return true;
  }
  return false;
}
