/**
 * Replays a folder of data-driven Raft files (etcd's, or our own) and reports how far the core
 * conforms.
 *
 *     raft-conformance DIR             exit code 1 when a covered file does not match
 *     raft-conformance DIR --rewrite   make what the core prints today the expectation
 */

import { pathToFileURL } from 'node:url';
import {
  describeReport,
  rewriteExpectations,
  runConformance,
} from '../test/raft/datadriven/conformance.js';

export { runConformance } from '../test/raft/datadriven/conformance.js';

const USAGE = 'usage: raft-conformance DIR [--rewrite]\n';

/** Carries out a command line without the program's name. Returns the exit code. */
export function main(words: readonly string[]): number {
  const options = words.filter((word) => word.startsWith('-'));
  const [directory, ...others] = words.filter((word) => !word.startsWith('-'));
  const isRewrite = options.includes('--rewrite');
  if (directory === undefined || others.length > 0 || options.length > (isRewrite ? 1 : 0)) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (isRewrite) {
    rewriteExpectations(directory);
  }
  const report = runConformance(directory);
  process.stdout.write(describeReport(report));
  return report.files.some((file) => file.verdict.kind === 'failed') ? 1 : 0;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = main(process.argv.slice(2));
}
