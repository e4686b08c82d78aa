import { FlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';

/** Refuses a frame that no network may carry. Throws LIMIT_EXCEEDED. */
export function checkFrameSize(sizeBytes: number): void {
  const { value } = LIMITS.frameBytesMax;
  if (sizeBytes <= value) return;
  throw new FlotillaError('LIMIT_EXCEEDED', `a frame has ${sizeBytes} bytes, at most ${value}`, {
    limit: 'frameBytesMax',
  });
}
