/** Searches through the engine's thread beside searches of the bare library, over `ef`. */

import { atLeast } from '../harness/bars.js';
import { inTurn, NEIGHBOURS, rowOfId } from '../harness/dataset.js';
import { searchQuery } from '../harness/engine-shard.js';
import { type Load, runInTurns } from '../harness/load.js';
import type { Bar, Figure, Quantity } from '../harness/scenario.js';
import { recallOf, round } from '../harness/statistics.js';
import { threadCost } from '../harness/thread-cost.js';
import { type Findings, INFLIGHT } from './findings.js';
import type { Subject } from './subject.js';

export interface SearchOptions {
  readonly efs: readonly number[];
  /** The bars are looked at with this one of them. */
  readonly barEf: number;
  /** Percent of the bare library's rate that the engine should have. @default no bar */
  readonly ratePercentMin?: number;
  /** @default no bar */
  readonly recallMin?: number;
}

export async function measureSearches(
  subject: Subject,
  { efs, barEf, ratePercentMin, recallMin }: SearchOptions,
): Promise<Partial<Findings>> {
  const figures: Figure[] = [];
  const quantities: Quantity[] = [];
  const bars: Bar[] = [];
  for (const ef of efs) {
    subject.progress(`searches, ef ${ef}`);
    const { engine, bare, costs } = await measureEf(subject, ef);
    figures.push(bare, engine);
    quantities.push(...costs);
    if (ef !== barEf) continue;
    const percent = 100 * (engine.ratios?.[0]?.value ?? 0);
    const rate = { name: `${engine.name}: rate by that of the bare library`, unit: '%' };
    if (ratePercentMin !== undefined)
      bars.push(atLeast({ ...rate, value: percent }, ratePercentMin));
    const recall = { name: `${engine.name}: recall@10`, value: engine.recall ?? 0, unit: '' };
    if (recallMin !== undefined) bars.push(atLeast(recall, recallMin));
  }
  return { figures, quantities, bars };
}

interface Searched {
  readonly engine: Figure;
  readonly bare: Figure;
  /** Of a search through the engine, by thread. */
  readonly costs: readonly Quantity[];
}

async function measureEf(subject: Subject, ef: number): Promise<Searched> {
  const { name, dataset, plainQueries, bare, shard, effort } = subject;
  const queries = dataset.queries.map((vector) => searchQuery(vector, { k: NEIGHBOURS, ef }));
  const found: number[][] = [];
  for (const query of queries) {
    found.push((await shard.search(query)).map(({ id }) => rowOfId(id)));
  }
  const bareFound = plainQueries.map((query) => bare.search(query, NEIGHBOURS, ef));
  const bareName = `${name} bare search, ef ${ef}`;
  const load: Load = {
    name: `${name} search, ef ${ef}, ${INFLIGHT} in flight`,
    inflight: INFLIGHT,
    ratiosOf: [bareName],
    call: (sequence) => shard.search(inTurn(queries, sequence)),
  };
  const [engineFigure, bareFigure] = await runInTurns(
    [
      load,
      {
        name: bareName,
        inflight: 1,
        call: (sequence) => bare.search(inTurn(plainQueries, sequence), NEIGHBOURS, ef),
      },
    ],
    effort.turns,
  );
  const recall = round(recallOf(found, dataset.neighbours), 4);
  const bareRecall = round(recallOf(bareFound, dataset.neighbours), 4);
  return {
    engine: { ...(engineFigure as Figure), recall },
    bare: { ...(bareFigure as Figure), recall: bareRecall },
    costs: await costsOf(load, subject),
  };
}

async function costsOf(load: Load, { effort }: Subject): Promise<Quantity[]> {
  const { ratiosOf: _none, ...alone } = load;
  const cost = await threadCost(alone, effort.turns);
  if (cost === undefined) return [];
  return [
    { name: `${load.name}: CPU of the caller`, value: round(cost.callerUs, 1), unit: 'us' },
    { name: `${load.name}: CPU of the engine`, value: round(cost.servantUs, 1), unit: 'us' },
  ];
}
