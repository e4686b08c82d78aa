/**
 * A tiny embedding for the demo: words and their three-letter pieces are hashed into a fixed
 * number of dimensions. It knows nothing of meaning, but texts that share words come out close,
 * and it needs no model and no network.
 */
import { murmur3OfString } from '../../shared/murmur3.js';

export const EMBEDDING_DIMENSION = 256;

const WORD_WEIGHT = 1;
const PIECE_WEIGHT = 0.35;
const STOP_WORDS = new Set([
  ...['a', 'an', 'and', 'are', 'as', 'at', 'be', 'by', 'for', 'from', 'has', 'have', 'how', 'i'],
  ...['in', 'is', 'it', 'its', 'my', 'of', 'on', 'or', 'so', 'that', 'the', 'to', 'was', 'what'],
  ...['when', 'with', 'you'],
]);

/** A vector of length 1, or of zeros for a text without words. Linear in the text. */
export function embed(text: string): Float32Array {
  const vector = new Float32Array(EMBEDDING_DIMENSION);
  for (const word of text.toLowerCase().match(/[a-z]+/g) ?? []) {
    if (STOP_WORDS.has(word)) continue;
    add(vector, word, WORD_WEIGHT);
    const framed = `<${word}>`;
    for (let at = 0; at + 3 <= framed.length; at++) {
      add(vector, framed.slice(at, at + 3), PIECE_WEIGHT);
    }
  }
  const length = Math.hypot(...vector);
  return length === 0 ? vector : vector.map((value) => value / length);
}

function add(vector: Float32Array, feature: string, weight: number): void {
  const hash = murmur3OfString(feature);
  const at = hash % EMBEDDING_DIMENSION;
  const sign = hash & 0x8000_0000 ? -1 : 1;
  vector[at] = (vector[at] as number) + sign * weight;
}
