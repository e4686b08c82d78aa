/** Binary search, where what is looked for is said by a question instead of a value. */

/** The first of `count` positions at which `holds` is true; it is true at all later ones too. */
export function firstWhere(count: number, holds: (at: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
