/** What docs/placement.md shows of `flotilla ring simulate`, as the command prints and draws it. */
import { readFileSync } from 'node:fs';
import { replaceRegion } from '../bench/harness/region.js';
import { renderRingDrawing } from '../src/cli/render/ring-drawing.js';
import { renderRingTable } from '../src/cli/render/ring-table.js';
import { type RingQuestion, SIMULATED_STRATEGIES, simulateRing } from '../src/cli/ring-report.js';

/** Scripts and tests are started in the root of the repository. */
export const PLACEMENT_PAGE = 'docs/placement.md';
export const RING_PICTURE = 'docs/placement-ring.svg';

const COMMON = { strategies: SIMULATED_STRATEGIES, seed: 1, virtualNodes: 100 };
const JOINING: RingQuestion = { ...COMMON, shards: 3, added: 1, removed: 0, keys: 1_000 };
const LEAVING: RingQuestion = { ...COMMON, shards: 16, added: 0, removed: 1, keys: 20_000 };

/** The page with the tables that the command prints. Throws where it has no place for them. */
export function drawPlacementPage(): string {
  const blocks = [
    blockOf('--nodes 3 --add 1 --keys 1000', JOINING),
    blockOf('--nodes 16 --remove 1 --keys 20000', LEAVING),
  ];
  return replaceRegion(readFileSync(PLACEMENT_PAGE, 'utf8'), 'ring-simulate', blocks.join('\n\n'));
}

export function drawRingPicture(): string {
  return renderRingDrawing(simulateRing({ ...JOINING, strategies: ['ring'] }));
}

function blockOf(options: string, question: RingQuestion): string {
  const answer = renderRingTable(simulateRing(question)).trimEnd();
  return `\`\`\`text\n$ flotilla ring simulate ${options}\n${answer}\n\`\`\``;
}
