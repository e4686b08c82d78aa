// Goal: what README.md shows works as shown.
// Method: take the TypeScript block out of the page and run it against the built package.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';

const README = readFileSync('README.md', 'utf8');
/** Inside the repository, so that `flotilla` resolves as it does for a user of the package. */
const FOLDER = resolve('test/.readme');
const WORK = mkdtempSync(join(tmpdir(), 'flotilla-readme-'));
const HOME = process.cwd();

afterAll(() => {
  rmSync(FOLDER, { recursive: true, force: true });
  rmSync(WORK, { recursive: true, force: true });
});

function blocksOf(language: string): string[] {
  return [...README.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))].map(
    (match) => match[1] as string,
  );
}

describe('README.md', () => {
  it('has an embedded example that prints what it says', async () => {
    const [example] = blocksOf('ts');
    const expected = /console\.log\(.*\); \/\/ (.*)$/m.exec(example ?? '')?.[1];
    expect(expected).toBe('Anchors');
    mkdirSync(FOLDER, { recursive: true });
    const file = join(FOLDER, 'example.ts');
    writeFileSync(file, example ?? '');
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    process.chdir(WORK);
    await import(file).finally(() => process.chdir(HOME));
    expect(log.mock.calls).toEqual([[expected]]);
    log.mockRestore();
  });

  it('names commands that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...README.matchAll(/npm run ([a-z:-]+)/g)].map((match) => match[1] as string);
    expect(named.length).toBeGreaterThan(0);
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });

  it('links to pages that exist', () => {
    const links = [...README.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1] as string);
    for (const link of links) {
      if (!link.startsWith('http'))
        expect(() => readFileSync(resolve(HOME, link))).not.toThrow(/ENOENT/);
    }
  });
});
