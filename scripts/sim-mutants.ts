/**
 * Puts each known bug into a copy of the sources and counts how many seeds the simulator needs to
 * find it: `npm run sim:mutants`, or `npm run sim:mutants -- X-3 X-9`.
 *
 * Ends with 1 when one is not found within the seeds that its kind is given (safety 500 x 20,000
 * steps, liveness 1,000).
 */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Mutant } from '../test/sim/mutants/mutant.js';
import { MUTANTS, mutate } from '../test/sim/mutants/mutants.js';
import type { Summary } from './sim.js';

const USAGE = `usage: npm run sim:mutants -- [--json] [X-n ...]\n`;
const SEEDS: Readonly<Record<Mutant['kind'], number>> = { safety: 500, liveness: 1_000 };
/** A bug may keep a run from ending; it is found then as well. */
const LIMIT_MS = 20 * 60_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const STDERR_SHOWN = 500;
const COPIED = ['src', 'test', 'package.json', 'tsconfig.json', 'tsconfig.scripts.json'];

const run = promisify(execFile);

type Verdict =
  | { readonly kind: 'found'; readonly seeds: number; readonly by: string }
  | { readonly kind: 'hangs' }
  /** The simulator itself did not get through: nothing is known. */
  | { readonly kind: 'breaks'; readonly why: string }
  | { readonly kind: 'not found'; readonly seeds: number };

/** Carries out a command line without the program's name. Returns the exit code. */
export async function main(
  words: readonly string[],
  print: (text: string) => void,
): Promise<number> {
  const isJson = words.includes('--json');
  const ids = words.filter((word) => word !== '--json');
  const chosen = MUTANTS.filter(({ id }) => ids.length === 0 || ids.includes(id));
  if (ids.some((id) => MUTANTS.every((mutant) => mutant.id !== id))) {
    print(`${USAGE}mutants: ${MUTANTS.map(({ id }) => id).join(' ')}\n`);
    return 2;
  }
  let missed = 0;
  for (const mutant of chosen) {
    const verdict = await judge(mutant);
    if (verdict.kind === 'not found' || verdict.kind === 'breaks') missed += 1;
    const { id, name } = mutant;
    print(isJson ? `${JSON.stringify({ id, name, ...verdict })}\n` : line(mutant, verdict));
  }
  print(isJson ? '' : `${chosen.length - missed} of ${chosen.length} found\n`);
  return missed === 0 ? 0 : 1;
}

function line({ id, name, simulator }: Mutant, verdict: Verdict): string {
  return `${id.padEnd(5)} ${simulator} ${describe(verdict).padEnd(36)} ${name}\n`;
}

function describe(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'found':
      return `seed ${verdict.seeds}: ${verdict.by}`;
    case 'hangs':
      return 'the run does not end';
    case 'breaks':
      return `the simulator breaks: ${verdict.why}`;
    case 'not found':
      return `NOT FOUND in ${verdict.seeds} seeds`;
  }
}

async function judge(mutant: Mutant): Promise<Verdict> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-mutant-'));
  try {
    await copySources(directory);
    const path = join(directory, mutant.file);
    await writeFile(path, mutate(mutant, await readFile(path, 'utf8')));
    await compile(directory);
    return await hunt(directory, mutant);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function copySources(directory: string): Promise<void> {
  for (const name of COPIED) await cp(name, join(directory, name), { recursive: true });
  await cp('scripts/sim.ts', join(directory, 'scripts/sim.ts'));
  await symlink(resolve('node_modules'), join(directory, 'node_modules'));
}

/** Types are not checked: a bug need not be well typed. */
async function compile(directory: string): Promise<void> {
  const compiler = resolve('node_modules/typescript/bin/tsc');
  const options = ['-p', 'tsconfig.scripts.json', '--noCheck', '--outDir', 'out'];
  await run(process.execPath, [compiler, ...options], { cwd: directory });
}

async function hunt(directory: string, { kind, simulator }: Mutant): Promise<Verdict> {
  const seeds = SEEDS[kind];
  const options = ['--stack', simulator, '--seeds', String(seeds), '--no-shrink', '--json'];
  const child = run(process.execPath, ['out/scripts/sim.js', ...options], {
    cwd: directory,
    timeout: LIMIT_MS,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  // A failed run ends with 1, and has printed its summary all the same.
  const { stdout, stderr, killed } = await child.then(
    (done) => ({ ...done, killed: false }),
    (error: { stdout: string; stderr: string; killed: boolean }) => error,
  );
  if (killed) return { kind: 'hangs' };
  if (stdout === '') return { kind: 'breaks', why: stderr.slice(-STDERR_SHOWN) };
  const summary = JSON.parse(stdout) as Summary;
  const failure = summary.failures[0]?.failure;
  if (failure === undefined) return { kind: 'not found', seeds };
  return { kind: 'found', seeds: summary.seeds, by: failure.invariant };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2), (text) => process.stdout.write(text));
}
