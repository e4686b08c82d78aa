/** A simulated change of shards as a table: a line for each strategy. */
import type { Spread } from '../../placement/simulation.js';
import type { RingReport } from '../ring-report.js';
import { formatCount, formatPercent } from './format.js';
import { renderTable } from './table.js';

export function renderRingTable({ question, change, idealShare, simulations }: RingReport): string {
  const { keys, added, removed } = question;
  const sets = `${change.before.length} -> ${change.after.length} shards`;
  const heading =
    `${sets} (${added} join, ${removed} leave), ${formatCount(keys)} keys, of which ` +
    `${formatPercent(idealShare)} have to move`;
  const table = renderTable(
    [
      { title: 'strategy' },
      { title: 'unit' },
      { title: 'units moved', align: 'right' },
      { title: 'keys moved', align: 'right' },
      { title: 'share', align: 'right' },
      { title: 'needless', align: 'right' },
      { title: 'max/mean', align: 'right' },
      { title: 'stddev', align: 'right' },
    ],
    simulations.map((simulation) => [
      simulation.strategy,
      simulation.unitKind,
      `${formatCount(simulation.movedUnits)} of ${formatCount(simulation.units)}`,
      formatCount(simulation.movedKeys),
      formatPercent(simulation.movedKeys / keys),
      formatCount(simulation.needlessKeys),
      fromTo(simulation.before, simulation.after, ({ largestShare }) => largestShare.toFixed(2)),
      fromTo(
        simulation.before,
        simulation.after,
        ({ deviation }) => `${(deviation * 100).toFixed(1)} %`,
      ),
    ]),
  );
  return `${heading}\n\n${table}`;
}

/** How even it is before and after: `1.05 -> 1.09`. */
function fromTo(before: Spread, after: Spread, text: (spread: Spread) => string): string {
  return `${text(before)} -> ${text(after)}`;
}
