/**
 * Compiles `src` to `dist` before the tests, which run the built code, and so do threads and child
 * processes. What has no source any more goes: a test must not pass with it. Types are not checked
 * here; `npm run types` does that.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export function setup(): void {
  execFileSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--noCheck'],
    {
      stdio: 'inherit',
    },
  );
  for (const file of readdirSync('dist', { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.js')) continue;
    if (!existsSync(join('src', file.replace(/js$/, 'ts')))) rmSync(join('dist', file));
  }
}
