/** What grpc-js says when a call never left, in the words of whoever refused the connection. */

const NOT_CONNECTED =
  /^No connection established(?:\. Last error: (?:Error: )?(.*?)\. Resolution)?/;
const NOT_RESOLVED = /^Name resolution failed/;

/**
 * Why there was no connection, from the `details` of an UNAVAILABLE status; `undefined` where there
 * was one, so that the call may have arrived.
 */
export function connectionFault(details: string): string | undefined {
  if (NOT_RESOLVED.test(details)) return details;
  const [said, why] = NOT_CONNECTED.exec(details) ?? [];
  return said === undefined ? undefined : (why ?? details);
}
