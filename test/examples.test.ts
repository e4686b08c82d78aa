// Goal: every example runs as it stands, and prints what its first lines say.
// Method: run each file against the built package, and compare what it logs with its header.
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { format } from 'node:util';
import { Cluster } from 'flotilla';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const EXAMPLES = readdirSync('examples').filter((name) => name.endsWith('.ts'));

/** The cluster of examples that start none. */
let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
  vi.stubEnv('FLOTILLA_URL', cluster.addresses.map(({ client }) => client).join(','));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await cluster.stop();
});

/** The lines that the comment at the top of an example announces. */
function announced(text: string): string[] {
  const header = /\/\/ Prints:\n((?:\/\/ {3}.*\n)+)/.exec(text)?.[1] ?? '';
  return [...header.matchAll(/^\/\/ {3}(.*)$/gm)].map(([, line]) => line as string);
}

describe('examples', () => {
  it.each(EXAMPLES)('%s prints what it says', async (name) => {
    const expected = announced(readFileSync(`examples/${name}`, 'utf8'));
    expect(expected.length).toBeGreaterThan(0);
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    try {
      await import(resolve('examples', name));
      expect(log.mock.calls.map((words) => format(...words))).toEqual(expected);
    } finally {
      log.mockRestore();
    }
  });

  it('are all listed on their page', () => {
    const page = readFileSync('examples/README.md', 'utf8');
    const listed = [...page.matchAll(/^\| \[(.*?)\]/gm)].map(([, name]) => name as string);
    expect(listed.sort()).toEqual(EXAMPLES.sort());
  });
});
