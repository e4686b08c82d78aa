/** What a caller of `Cluster.start` may say about the engines of its nodes. */
import type { EngineConfig } from '../node/config.js';
import { SETTINGS, type Setting } from '../node/settings.js';
import { invalidField } from '../shared/checks.js';
import { messageOf } from '../shared/errors.js';

export interface EngineOptions {
  /**
   * Floats of the vectors of a collection on a shard that may wait for the graph: more of them take
   * a longer burst of writes, and slow searches down meanwhile. 4,096 at least. @default 262144
   */
  readonly headFloatsMax?: number;
  /**
   * Whether all vectors stay in memory beside the graph, 4 bytes a dimension and record: searches
   * with few matches are many times faster. @default true
   */
  readonly exactCopy?: boolean;
}

/** As in the configuration of a node. Throws INVALID_REQUEST where that would refuse them. */
export function engineConfigOf({ headFloatsMax, exactCopy }: EngineOptions): EngineConfig {
  return {
    headFloatsMax: checkedSetting(SETTINGS['engine.headFloatsMax'], headFloatsMax, 'headFloatsMax'),
    exactCopy: checkedSetting(SETTINGS['engine.exactCopy'], exactCopy, 'exactCopy'),
  };
}

function checkedSetting<T>(
  { kind, default: usual }: Setting<T>,
  value: T | undefined,
  name: string,
): T {
  try {
    return kind.parse(value ?? usual);
  } catch (error) {
    throw invalidField(name, messageOf(error), error);
  }
}
