/** What somebody who misspelt a name may have meant. */

/** Edits that still count as a misspelling, as a share of the name's length. */
const EDIT_SHARE_MAX = 0.4;

/** The known name with the fewest edits to `name`, or `undefined` where none is near. */
export function nearestOf(name: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let editsMin = Math.floor(name.length * EDIT_SHARE_MAX) + 1;
  for (const candidate of known) {
    const edits = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (edits < editsMin) {
      editsMin = edits;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Levenshtein distance; cost grows with the product of the lengths. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const removed = (previous[column] ?? 0) + 1;
      const added = (current[column - 1] ?? 0) + 1;
      current.push(Math.min(replaced, removed, added));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
