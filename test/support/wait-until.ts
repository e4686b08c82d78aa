/** Waits for a condition instead of a duration. */

const POLL_MS = 50;

/**
 * Resolves when `condition` holds. A condition that throws does not hold yet. Fails after
 * `limitMs`, far beyond what a slow machine needs, with the last error.
 */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 60_000,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  let lastError: unknown;
  while (performance.now() < endMs) {
    try {
      if (await condition()) return;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`still waiting after ${limitMs} ms: ${what}`, { cause: lastError });
}
