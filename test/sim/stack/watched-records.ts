/**
 * Goal: what clients ask one process for, and what it answers, under the eyes of the run. Method: a
 * proxy between them, which delays and changes nothing.
 */
import type { EndpointsOptions } from '../../../src/node/endpoints.js';
import type { RecordsBackend, WriteAnswer } from '../../../src/server/backend.js';
import type { SeenShard } from '../../../src/shared/consistency.js';
import { isClients, keyOf } from './address.js';
import type { KeptAnswers } from './kept-answers.js';
import type { Floor } from './register-oracle.js';

/** What an answer may tell of shards: reads say `served`, writes `written`. */
interface Told {
  readonly served?: readonly SeenShard[];
  readonly written?: readonly SeenShard[];
}

type Method = (...args: unknown[]) => unknown;

/** What a node offers to its clients, and what its router tells of its cache. */
export function watchedEndpoints(options: EndpointsOptions, kept: KeptAnswers): EndpointsOptions {
  const { router } = options.metrics;
  // Nobody reads the metrics of these runs.
  router.cacheLookedUp = (isHit) => kept.lookedUp(isHit);
  router.cacheChanged = (_sizeBytes, evicted) => kept.evicted(evicted);
  return { ...options, records: watchedRecords(options.records, kept) };
}

function watchedRecords(records: RecordsBackend, kept: KeptAnswers): RecordsBackend {
  const watched: Partial<RecordsBackend> = {
    async upsert(collection, given, options) {
      const answer = await records.upsert(collection, given, options);
      const keys = keysOf({ collection, ...options }, given);
      return noted(kept, keys, 'record', answer);
    },
    async patch(collection, given, options) {
      const answer = await records.patch(collection, given, options);
      const keys = keysOf({ collection, ...options }, given);
      return noted(kept, keys, 'record', answer);
    },
    async delete(collection, ids, options) {
      const answer = await records.delete(collection, ids, options);
      const named = ids.map((id) => ({ id }));
      return noted(kept, keysOf({ collection, ...options }, named), 'nothing', answer);
    },
    search(collection, queries, options) {
      const asked = { collection, queries, options };
      return kept.search(asked, () => records.search(collection, queries, options));
    },
  };
  return new Proxy(records, {
    get(target, name) {
      const own: unknown = Reflect.get(watched, name);
      const member: unknown = own ?? Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]) => {
        const answer = await (member as Method).apply(target, args);
        const { served = [], written = [] } = answer as Told;
        kept.told([...served, ...written]);
        return answer;
      };
    },
  });
}

interface Place {
  readonly collection: string;
  readonly tenant?: string | undefined;
}

/** None where the run keeps no account of the records. */
function keysOf(
  { collection, tenant = '' }: Place,
  records: readonly { readonly id: string }[],
): readonly string[] {
  return isClients(collection) ? records.map(({ id }) => keyOf({ collection, tenant }, id)) : [];
}

/** What is there of the keys after the writes that were applied. */
function noted(
  kept: KeptAnswers,
  keys: readonly string[],
  kind: Floor['kind'],
  answer: WriteAnswer,
): WriteAnswer {
  keys.forEach((key, at) => {
    const outcome = answer.outcomes[at];
    if (outcome?.kind === 'applied') kept.wrote(key, kind, outcome.version);
  });
  return answer;
}
