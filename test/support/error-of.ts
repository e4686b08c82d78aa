/** What an action throws, or returns where it throws nothing, so that both can be compared. */
export function errorOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}
