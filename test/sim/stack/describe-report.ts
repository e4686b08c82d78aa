/** Goal: everything that is needed to look into a failed run. Method: text, the command first. */

import type { StackReport } from './run-stack.js';
import { type LogLine, withoutBigints } from './watch.js';

/** The command that runs it again. */
export function reproductionOf({ seed, steps, without }: StackReport): string {
  const left = without.length === 0 ? '' : ` --without ${without.join(',')}`;
  return `npm run sim -- --stack full --seed ${seed} --steps ${steps}${left} --no-shrink`;
}

/** What was broken, how to see it again, which faults there were, and what the nodes said last. */
export function describeReport(report: StackReport, commit: string, linesMax = 40): string {
  const { finding, seed, faults, parameters, lines, traceHash } = report;
  if (finding === undefined) return `seed ${seed}: all promises held (trace ${traceHash})`;
  const { settings, nodes } = parameters;
  return [
    `${finding.invariant}: ${finding.message}`,
    `seed=${seed} commit=${commit} trace=${traceHash} at ${finding.atMs.toFixed(1)} ms`,
    reproductionOf(report),
    `cluster: ${nodes} nodes, ${JSON.stringify(settings)}`,
    ...faults.map(({ index, atMs, fault }) => {
      return `fault ${index} at ${atMs.toFixed(1)} ms: ${JSON.stringify(fault)}`;
    }),
    ...lines.slice(-linesMax).map(textOf),
  ].join('\n');
}

function textOf({ atMs, nodeId, level, message, fields }: LogLine): string {
  const details = JSON.stringify(fields, withoutBigints);
  return `${atMs.toFixed(1)} node ${nodeId} ${level} ${message} ${details}`;
}
