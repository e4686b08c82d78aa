/** Large numbers and sizes as people write them: `50M`, `1.5B`, `32GiB`. */
import { InvalidArgumentError } from 'commander';

/** Decimal, as the SI has them; billions as everybody says. `m` would be a thousandth. */
const COUNT_POWERS: Readonly<Record<string, number>> = { '': 0, k: 3, M: 6, B: 9 };
/** Powers of 1,024. */
const SIZE_POWERS: Readonly<Record<string, number>> = {
  '': 0,
  B: 0,
  KiB: 1,
  MiB: 2,
  GiB: 3,
  TiB: 4,
};

interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** An option's parser for a whole number, such as `300k`, `50M` or `1.5B`. */
export function countOption({ min, max }: Bounds): (text: string) => number {
  return (text) => {
    const value = parseCount(text);
    if (value !== undefined && value >= min && value <= max) return value;
    const bounds = `from ${countText(min)} to ${countText(max)}`;
    throw new InvalidArgumentError(
      `It must be a whole number ${bounds}, such as 20000, 300k, 50M or 1.5B.`,
    );
  };
}

/** An option's parser for a size in bytes, such as `32GiB`. */
export function sizeOption({ min, max }: Bounds): (text: string) => number {
  return (text) => {
    const value = parseSize(text);
    if (value !== undefined && value >= min && value <= max) return value;
    const bounds = `from ${sizeText(min)} to ${sizeText(max)}`;
    throw new InvalidArgumentError(
      `It must be a size ${bounds}, in KiB, MiB, GiB or TiB (powers of 1,024), ` +
        'such as 512MiB or 1.5TiB.',
    );
  };
}

/** `undefined` for what is no whole number. */
export function parseCount(text: string): number | undefined {
  const [, whole, fraction = '', suffix = ''] = /^(\d+)(?:\.(\d+))?([kMB]?)$/.exec(text) ?? [];
  const power = COUNT_POWERS[suffix];
  const digits = fraction.replace(/0+$/, '');
  if (whole === undefined || power === undefined || digits.length > power) return undefined;
  // By digits, not by multiplication: 1.1M is 1,100,000 and not a little more.
  const value = Number(whole + digits.padEnd(power, '0'));
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Rounded to whole bytes; `undefined` for what is no size. */
export function parseSize(text: string): number | undefined {
  const [, number, suffix = ''] = /^(\d+(?:\.\d+)?)((?:[KMGT]i)?B)?$/.exec(text) ?? [];
  const power = SIZE_POWERS[suffix];
  if (number === undefined || power === undefined) return undefined;
  const value = Math.round(Number(number) * 1024 ** power);
  const isWholeBytes = power > 0 || !number.includes('.');
  return isWholeBytes && Number.isSafeInteger(value) ? value : undefined;
}

/** `300k`, `1.5B`; as short as it can be without losing anything. */
export function countText(value: number): string {
  for (const [suffix, power] of Object.entries(COUNT_POWERS).toReversed()) {
    const scaled = value / 10 ** power;
    if (scaled >= 1 && parseCount(`${scaled}${suffix}`) === value) return `${scaled}${suffix}`;
  }
  return String(value);
}

/** `32GiB`, `1536MiB`; in the largest unit of which it is a whole number. */
export function sizeText(sizeBytes: number): string {
  for (const [suffix, power] of Object.entries(SIZE_POWERS).toReversed()) {
    const scaled = sizeBytes / 1024 ** power;
    if (scaled >= 1 && Number.isInteger(scaled)) return `${scaled}${suffix}`;
  }
  return `${sizeBytes}B`;
}
