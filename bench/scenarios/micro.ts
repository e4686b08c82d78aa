/** Runs every program of bench/micro: the back-of-the-envelope facts behind the design. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { BenchContext, Measurement, Scenario } from '../harness/scenario.js';

const DIRECTORY = new URL('../micro/', import.meta.url);

export const micro: Scenario = {
  name: 'micro',
  description: 'every program of bench/micro, one after the other; --quick runs the first only',
  run: runMicro,
};

async function runMicro({ quick, progress }: BenchContext): Promise<Measurement> {
  const programs = readdirSync(DIRECTORY)
    .filter((name) => name.endsWith('.js'))
    .sort()
    .slice(0, quick ? 1 : undefined);
  const lines: string[] = [];
  for (const program of programs) {
    progress(`running ${program}`);
    for (const line of await outputOf(program, progress)) {
      lines.push(`${basename(program, '.js')}: ${line}`);
    }
  }
  return { parameters: { programs: programs.length }, figures: [], lines };
}

/** What the program prints, line by line. Rejects when it fails. */
async function outputOf(program: string, progress: (line: string) => void): Promise<string[]> {
  const child = spawn(process.execPath, [fileURLToPath(new URL(program, DIRECTORY))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    progress(line);
  }
  const exitCode = await ended;
  if (exitCode !== 0) throw new Error(`${program} ended with exit code ${exitCode}`);
  return lines;
}
