/**
 * One shard's engine, part by part, beside the bare library over the same vectors in the same run:
 * building, searches, filtered searches, searches beside writes, memory, restart, churn, and what a
 * writer waits for in a cluster. Linux only. A full run is refused where the library could be
 * better on the processor.
 */
import { type InstalledAddon, installedAddon } from '../../src/engine/index/addon.js';
import { measureAcknowledgedWrites } from '../engine/acknowledged-writes.js';
import { measureChurn } from '../engine/churn.js';
import { measureFilteredSearches } from '../engine/filtered-searches.js';
import {
  type Effort,
  type Findings,
  FULL_EFFORT,
  GRAPH,
  INFLIGHT,
  joined,
  QUICK_EFFORT,
} from '../engine/findings.js';
import { measureMemory } from '../engine/memory.js';
import { measureMixedLoad } from '../engine/mixed-load.js';
import { measureRestart } from '../engine/restart.js';
import { measureSearches } from '../engine/searches.js';
import { Subject } from '../engine/subject.js';
import { assertBestBuild } from '../harness/best-build.js';
import {
  clusteredDataset,
  type Dataset,
  firstOf,
  NEIGHBOURS,
  realImageDataset,
} from '../harness/dataset.js';
import type { BenchContext, Measurement, Scenario } from '../harness/scenario.js';

const EFS = [16, 32, 64, 128, 256];
/** The default of a search. */
const BAR_EF = 64;
const RECALL_MIN = 0.99;

interface Sizes {
  readonly effort: Effort;
  readonly efs: readonly number[];
  readonly small: { readonly dimension: 128; readonly count: number };
  readonly large: { readonly dimension: 768; readonly count: number };
  /** Of the images of digits. */
  readonly images: number;
  /** Records of 128 floats. */
  readonly restart: number;
  readonly churn: number;
  readonly batches: number;
}

const QUICK: Sizes = {
  effort: QUICK_EFFORT,
  efs: [BAR_EF],
  small: { dimension: 128, count: 600 },
  large: { dimension: 768, count: 300 },
  images: 300,
  restart: 300,
  churn: 200,
  batches: 2,
};

const FULL: Sizes = {
  effort: FULL_EFFORT,
  efs: EFS,
  small: { dimension: 128, count: 200_000 },
  large: { dimension: 768, count: 20_000 },
  images: 10_000,
  restart: 100_000,
  churn: 20_000,
  batches: 60,
};

export const engine: Scenario = {
  name: 'engine',
  description:
    'one engine beside bare hnswlib-node: build, search, filters, memory, restart, churn',
  run: (context) => runEngine(context, installedAddon()),
};

/** Rejects where `assertBestBuild` throws, unless the run is a quick one. */
export async function runEngine(
  { quick, progress }: BenchContext,
  installed: InstalledAddon,
): Promise<Measurement> {
  if (!quick) assertBestBuild(installed);
  const sizes = quick ? QUICK : FULL;
  const { effort, small, large } = sizes;
  const parts: Partial<Findings>[] = [];
  // Filled by three processes at once: nothing is timed meanwhile.
  for (const { dimension, count } of [small, large]) {
    parts.push(await measureMemory({ dimension, records: count, progress }));
  }
  progress('making vectors and their exact neighbours');
  const datasets = { small: clusteredDataset(small), large: clusteredDataset(large) };
  const images = realImages(sizes.images);
  for (const [dataset, ratePercentMin] of [
    [datasets.small, 75],
    [datasets.large, 85],
  ] as const) {
    const name = `${dataset.dimension}-d`;
    parts.push(
      await measureSubject(new Subject({ name, dataset, effort, progress }), {
        efs: sizes.efs,
        ratePercentMin,
      }),
    );
  }
  if (images === undefined) {
    progress('there are no real images here: going without');
  } else {
    const subject = new Subject({ name: images.source, dataset: images, effort, progress });
    parts.push(await measureSubject(subject, { efs: [BAR_EF], recallMin: RECALL_MIN }));
  }
  const restarted = firstOf(
    { ...datasets.small, queries: datasets.small.queries.slice(0, 1) },
    sizes.restart,
  );
  parts.push(
    await measureRestart({ dataset: restarted, effort, progress }),
    await measureChurn({ records: sizes.churn, dimension: small.dimension, progress }),
    await measureAcknowledgedWrites({ dataset: datasets.large, batches: sizes.batches, progress }),
  );
  return { parameters: parametersOf(sizes, images, installed), ...joined(parts) };
}

function realImages(count: number): Dataset | undefined {
  const images = realImageDataset();
  return images && count < images.base.length ? firstOf(images, count) : images;
}

interface SubjectBars {
  readonly efs: readonly number[];
  readonly ratePercentMin?: number;
  readonly recallMin?: number;
}

/** Writes to the subject last: what is searched before is what was built. */
async function measureSubject(
  subject: Subject,
  { efs, ...bars }: SubjectBars,
): Promise<Partial<Findings>> {
  try {
    const built = { figures: await subject.build() };
    const searched = await measureSearches(subject, { efs, barEf: BAR_EF, ...bars });
    const filtered = await measureFilteredSearches(subject, EFS);
    const mixed = await measureMixedLoad(subject);
    return joined([built, searched, filtered, mixed]);
  } finally {
    await subject.close();
  }
}

function parametersOf(
  { small, large, effort, restart, churn, batches }: Sizes,
  images: Dataset | undefined,
  { build: { instructionSet, compiler } }: InstalledAddon,
): Measurement['parameters'] {
  return {
    vectors: [small, large].map(({ count, dimension }) => `${count} x ${dimension}`).join(', '),
    images: images === undefined ? 'none' : `${images.base.length} x ${images.dimension}`,
    metric: 'l2',
    ...GRAPH,
    k: NEIGHBOURS,
    inflight: INFLIGHT,
    instructionSet,
    compiler,
    slices: effort.turns.slices,
    sliceMs: effort.turns.sliceMs,
    pairs: effort.pairs,
    pairMs: effort.pairMs,
    restartRecords: restart,
    churnRecords: churn,
    batches,
  };
}
