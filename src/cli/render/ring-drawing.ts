/**
 * A simulated change of shards as a picture: for each strategy the circle of its units before and
 * after, coloured by shard, with a band around what moves. SVG in one piece, on a ground of its own
 * that follows the reader's light or dark setting.
 */
import type { Simulation } from '../../placement/simulation.js';
import type { RingReport } from '../ring-report.js';
import { formatCount, formatPercent } from './format.js';

const WIDTH = 720;
const MARGIN = 24;
const HEADING_HEIGHT = 56;
const ROW_HEIGHT = 330;
const CENTRES_X = { before: 190, after: 530 } as const;
const CENTRE_Y = 180;
const OWNER_BAND = { inner: 86, outer: 122 } as const;
const MOVED_BAND = { inner: 127, outer: 135 } as const;
const LEGEND_COLUMNS = 5;
const LEGEND_LINE_HEIGHT = 24;
const GOLDEN_ANGLE_DEGREES = 137.508;
/** Told apart by most eyes that see colours differently, on light and on dark (Okabe and Ito). */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8c7ae6'];

const STYLE = `
    text { font: 14px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 18px; font-weight: 600 }
    .quiet { fill: #59636e }
    .middle { text-anchor: middle }
    .ground { fill: #ffffff }
    .moved { fill: #1f2328 }
    @media (prefers-color-scheme: dark) {
      text, .moved { fill: #f0f6fc }
      .quiet { fill: #9198a1 }
      .ground { fill: #0d1117 }
    }`;

/** Grows with the units of the strategies: about 70 bytes for each arc of one owner. */
export function renderRingDrawing(report: RingReport): string {
  const { change, simulations } = report;
  const shardIds = [...new Set([...change.before, ...change.after])].sort((a, b) => a - b);
  const legendTop = HEADING_HEIGHT + simulations.length * ROW_HEIGHT;
  const legendLines = Math.ceil((shardIds.length + 1) / LEGEND_COLUMNS);
  const height = legendTop + legendLines * LEGEND_LINE_HEIGHT + MARGIN;
  const title = `${change.before.length} shards become ${change.after.length}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `  <title>${escapeXml(title)}</title>`,
    `  <style>${STYLE}\n  </style>`,
    `  <rect class="ground" width="${WIDTH}" height="${height}"/>`,
    `  <text class="title" x="${MARGIN}" y="${MARGIN + 16}">${escapeXml(title)}</text>`,
    ...simulations.flatMap((simulation, row) => [
      `  <g transform="translate(0 ${HEADING_HEIGHT + row * ROW_HEIGHT})">`,
      ...drawStrategy(simulation, report),
      '  </g>',
    ]),
    `  <g transform="translate(${MARGIN} ${legendTop})">`,
    ...drawLegend(shardIds, report),
    '  </g>',
    '</svg>',
    '',
  ].join('\n');
}

function drawStrategy(simulation: Simulation, { question, change }: RingReport): string[] {
  const { strategy, units, unitKind, movedKeys } = simulation;
  const share = formatPercent(movedKeys / question.keys);
  const heading = `${strategy}: ${formatCount(units)} ${unitKind}s, ${share} of the keys move`;
  return [
    `    <text x="${MARGIN}" y="20">${escapeXml(heading)}</text>`,
    ...drawCircle(simulation, 'before', `${change.before.length} shards before`),
    ...drawCircle(simulation, 'after', `${change.after.length} shards after`),
  ];
}

/** A path for each owner and one for all that moves, the first unit at the top, clockwise. */
function drawCircle({ owners }: Simulation, side: 'before' | 'after', label: string): string[] {
  const runs = runsOf(owners.map((one) => one[side]));
  const shardIds = [...new Set(runs.map(({ value }) => value))].sort((a, b) => a - b);
  const moved = runsOf(owners.map((one) => one.before !== one.after));
  const outline = (band: Band, parts: readonly Run<unknown>[]): string =>
    parts.map(({ from, to }) => arc(band, from / owners.length, to / owners.length)).join('');
  return [
    `    <g transform="translate(${CENTRES_X[side]} ${CENTRE_Y})">`,
    ...shardIds.map((shardId) => {
      const own = runs.filter(({ value }) => value === shardId);
      return `      <path fill="${colourOf(shardId)}" d="${outline(OWNER_BAND, own)}"/>`;
    }),
    `      <path class="moved" d="${outline(
      MOVED_BAND,
      moved.filter(({ value }) => value),
    )}"/>`,
    `      <text class="middle quiet" y="5">${escapeXml(label)}</text>`,
    '    </g>',
  ];
}

function drawLegend(shardIds: readonly number[], { change }: RingReport): string[] {
  const [before, after] = [new Set(change.before), new Set(change.after)];
  const entries = shardIds.map((shardId) => {
    const fate = before.has(shardId) ? (after.has(shardId) ? '' : ' (leaves)') : ' (joins)';
    return { paint: `fill="${colourOf(shardId)}"`, label: `shard ${shardId}${fate}` };
  });
  return [...entries, { paint: 'class="moved"', label: 'moves' }].map(({ paint, label }, at) => {
    const x = (at % LEGEND_COLUMNS) * ((WIDTH - 2 * MARGIN) / LEGEND_COLUMNS);
    const y = Math.floor(at / LEGEND_COLUMNS) * LEGEND_LINE_HEIGHT;
    const swatch = `<rect ${paint} x="${rounded(x)}" y="${y}" width="14" height="14" rx="3"/>`;
    return `    ${swatch}<text x="${rounded(x + 20)}" y="${y + 12}">${escapeXml(label)}</text>`;
  });
}

interface Band {
  readonly inner: number;
  readonly outer: number;
}

/** Units `from` up to, and not including, `to` that have one value. */
interface Run<T> {
  readonly value: T;
  readonly from: number;
  readonly to: number;
}

function runsOf<T>(values: readonly T[]): Run<T>[] {
  const starts = values.flatMap((value, at) =>
    at === 0 || value !== values[at - 1] ? [{ value, from: at }] : [],
  );
  return starts.map((start, at) => ({ ...start, to: starts[at + 1]?.from ?? values.length }));
}

/** A piece of a band, from one share of the turn to another. */
function arc(band: Band, from: number, to: number): string {
  // The ends of a whole turn are one point, between which a path has no arc to draw.
  if (to - from > 0.5) return arc(band, from, (from + to) / 2) + arc(band, (from + to) / 2, to);
  const { inner, outer } = band;
  return (
    `M${point(outer, from)}A${outer} ${outer} 0 0 1 ${point(outer, to)}` +
    `L${point(inner, to)}A${inner} ${inner} 0 0 0 ${point(inner, from)}Z`
  );
}

function point(radius: number, turn: number): string {
  const angle = 2 * Math.PI * turn;
  return `${rounded(radius * Math.sin(angle))} ${rounded(-radius * Math.cos(angle))}`;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Beyond the named colours, hues that stay far from those before them. */
function colourOf(shardId: number): string {
  const named = COLOURS[shardId];
  if (named !== undefined) return named;
  return `hsl(${Math.round((shardId * GOLDEN_ANGLE_DEGREES) % 360)} 55% 52%)`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
