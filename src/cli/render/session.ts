/** What a command wrote, as a token by which later reads can be told to see it. */
import type { Flotilla } from '../../client/index.js';

/** For scripts. Empty where the client has seen nothing, as by writes that were all refused. */
export interface SessionFields {
  readonly sessionToken?: string;
}

export function sessionFields({ sessionToken }: Flotilla): SessionFields {
  return sessionToken === '' ? {} : { sessionToken };
}

/** A line for people, to be copied behind a read; nothing where there is no token. */
export function sessionLine({ sessionToken }: SessionFields): string {
  return sessionToken === undefined
    ? ''
    : `read it anywhere with --consistency session:${sessionToken}\n`;
}
