// What errors say: a stable reason, whether it is worth trying again, what has become of a write.
// Prints:
//   DIMENSION_MISMATCH (INVALID_ARGUMENT) at records[0].values
//   retryable false, outcome not-applied
//   DEADLINE_EXCEEDED, retryable true
//   applied, not-applied: RECORD_EXISTS
import { Cluster, isFlotillaError } from 'flotilla';

await using cluster = await Cluster.start();
const notes = await cluster.client().openCollection({ name: 'notes', dimension: 3 });

try {
  await notes.upsert([{ id: 'a', values: [1, 2] }]);
} catch (error) {
  // Also true for errors of another copy of the package, for which `instanceof` would not be.
  if (!isFlotillaError(error)) throw error;
  console.log(`${error.reason} (${error.code}) at ${error.field}`);
  console.log(`retryable ${error.retryable}, outcome ${error.outcome}`);
}

try {
  // Calls are repeated inside their time, wherever that is safe; what is left over is told.
  await notes.search({ vector: [1, 2, 3], k: 1 }, { timeoutMs: 0.001 });
} catch (error) {
  if (isFlotillaError(error)) console.log(`${error.reason}, retryable ${error.retryable}`);
}

// Each record of a write has an outcome of its own: an error is thrown only where none is applied.
await notes.upsert([{ id: 'old', values: [1, 2, 3] }]);
const { outcomes } = await notes.upsert(
  [
    { id: 'new', values: [1, 2, 3] },
    { id: 'old', values: [3, 2, 1] },
  ],
  { mode: 'insert-only' },
);
const told = outcomes.map((one) =>
  one.kind === 'applied' ? one.kind : `${one.kind}: ${one.reason}`,
);
console.log(told.join(', '));
