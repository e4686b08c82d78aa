/**
 * Progress of a long job: a bar that is drawn over on a terminal, lines now and then elsewhere.
 * Percent with two decimals, rate, time left.
 */
import type { TextOutput } from '../context.js';
import { formatCount, formatDuration, formatPercent } from './format.js';

export interface ProgressSnapshot {
  /** Work done and to do, in the same unit; of which the share is taken. */
  readonly done: number;
  readonly total: number;
  /** Records handled since the start of the job. */
  readonly records: number;
}

export interface ProgressOptions {
  readonly output: TextOutput;
  readonly monotonicMs: () => number;
  /** Work that was done before this job started: it counts for the share, not for the rate. */
  readonly doneBefore?: number;
}

const TERMINAL_PERIOD_MS = 100;
const PLAIN_PERIOD_MS = 5_000;
const BAR_WIDTH_MAX = 30;
const ERASE_LINE = '\r\x1b[K';

export class Progress {
  readonly #options: ProgressOptions;
  readonly #startMs: number;
  #lastDrawnMs: number;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#startMs = options.monotonicMs();
    this.#lastDrawnMs = Number.NEGATIVE_INFINITY;
  }

  /** Takes note of the progress, and shows it when it is time to. */
  update(snapshot: ProgressSnapshot): void {
    const { output, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    const periodMs = output.isTerminal ? TERMINAL_PERIOD_MS : PLAIN_PERIOD_MS;
    if (nowMs - this.#lastDrawnMs < periodMs) return;
    this.#lastDrawnMs = nowMs;
    this.#draw(snapshot, nowMs);
  }

  /** Shows the last state and leaves the line. */
  finish(snapshot: ProgressSnapshot): void {
    const { output, monotonicMs } = this.#options;
    this.#draw(snapshot, monotonicMs());
    if (output.isTerminal) output.write('\n');
  }

  #draw(snapshot: ProgressSnapshot, nowMs: number): void {
    const { output } = this.#options;
    const text = this.#describe(snapshot, nowMs - this.#startMs);
    if (!output.isTerminal) {
      output.write(`${text}\n`);
      return;
    }
    const share = shareOf(snapshot);
    const width = Math.min(BAR_WIDTH_MAX, output.columns - text.length - 4);
    output.write(`${ERASE_LINE}${width > 0 ? `${barOf(share, width)} ` : ''}${text}`);
  }

  #describe(snapshot: ProgressSnapshot, elapsedMs: number): string {
    const parts = [
      formatPercent(shareOf(snapshot)).padStart(8),
      `${formatCount(snapshot.records)} records`,
    ];
    const doneNow = snapshot.done - (this.#options.doneBefore ?? 0);
    if (elapsedMs > 0 && doneNow > 0) {
      parts.push(`${formatCount((snapshot.records / elapsedMs) * 1_000)} records/s`);
      const left = ((snapshot.total - snapshot.done) / doneNow) * elapsedMs;
      parts.push(`${formatDuration(left)} left`);
    }
    return parts.join('  ');
  }
}

function shareOf({ done, total }: ProgressSnapshot): number {
  return total > 0 ? Math.min(1, done / total) : 1;
}

function barOf(share: number, width: number): string {
  const filled = Math.floor(share * width);
  const head = filled < width ? '>' : '';
  return `[${'='.repeat(filled)}${head}${' '.repeat(width - filled - head.length)}]`;
}
