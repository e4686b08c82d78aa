/** A directive that cannot be carried out; the message becomes its output. */
export class DirectiveError extends Error {
  override readonly name = 'DirectiveError';
}
