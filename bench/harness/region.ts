/** A part of a page that a program writes, between two comments that readers do not see. */

/**
 * The page with `body` between `<!-- NAME:start -->` and `<!-- NAME:end -->`. Throws where the two
 * do not stand in it once each, in this order.
 */
export function replaceRegion(page: string, name: string, body: string): string {
  const [before, inside, ...rest] = page.split(`<!-- ${name}:start -->`);
  const [, after, ...more] = inside?.split(`<!-- ${name}:end -->`) ?? [];
  if (before === undefined || after === undefined || rest.length > 0 || more.length > 0) {
    throw new Error(`the page has no region "${name}", or several`);
  }
  return `${before}<!-- ${name}:start -->\n${body}\n<!-- ${name}:end -->${after}`;
}
