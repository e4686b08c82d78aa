/** Numbers, times and metadata as people read them. */

/** `1234567` -> `1,234,567` */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

/** A share from 0 to 1 -> `45.30 %` */
export function formatPercent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

/** `512 B`, `1.5 KiB`, `12.0 MiB`, `3.2 GiB` */
export function formatBytes(sizeBytes: number): string {
  if (sizeBytes < 1_024) return `${Math.round(sizeBytes)} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length, Math.floor(Math.log2(sizeBytes) / 10));
  return `${(sizeBytes / 1_024 ** power).toFixed(1)} ${units[power - 1]}`;
}

/** `850 ms`, `12.3 s`, `2m 03s`, `1h 02m` */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 59_950) return `${(durationMs / 1_000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1_000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${twoDigits(seconds % 60)}s`;
  return `${Math.floor(minutes / 60)}h ${twoDigits(minutes % 60)}m`;
}

/** What is left of 0 when floats are added up. */
const DISTANCE_NOISE = 1e-12;

/** `0.000516129`, `0.00000` */
export function formatDistance(distance: number): string {
  return (Math.abs(distance) < DISTANCE_NOISE ? 0 : distance).toPrecision(6);
}

/** `  - one\n  - other\n` */
export function formatList(sentences: readonly string[]): string {
  return sentences.map((sentence) => `  - ${sentence}\n`).join('');
}

const METADATA_COLUMNS = 60;

/** JSON, cut where it is long; nothing where there are none. */
export function formatMetadata(metadata: object | undefined): string {
  const text = metadata === undefined ? '' : JSON.stringify(metadata);
  return text.length <= METADATA_COLUMNS ? text : `${text.slice(0, METADATA_COLUMNS - 1)}…`;
}

const SHORT_HASH_DIGITS = 12;

/** Enough of a hash to see whether two are equal. */
export function shortHash(hash: string): string {
  return hash.slice(0, SHORT_HASH_DIGITS);
}

/** `2026-01-31 12:00:00Z`; nothing where there is no time. */
export function formatInstant(wallMs: number | undefined): string {
  if (wallMs === undefined) return '';
  const date = new Date(wallMs);
  // Some times are too far away for a date, and shown as they are.
  if (Number.isNaN(date.getTime())) return `${wallMs}`;
  return date
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
