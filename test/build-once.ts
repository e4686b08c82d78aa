/**
 * Compiles `src` to `dist` before the tests: threads and child processes run the built code.
 * Types are not checked here; `npm run types` does that.
 */
import { execFileSync } from 'node:child_process';

export function setup(): void {
  execFileSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--noCheck'],
    {
      stdio: 'inherit',
    },
  );
}
