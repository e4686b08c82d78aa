/** The work of an engine as the status of its replica tells it, and as bytes within that. */
import type { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

/** What the engine of a shard replica works on, over all collections. */
export interface EngineState {
  /** Records that wait for a graph; searches read all of them. */
  readonly headRows: number;
  /** Tombstones included. */
  readonly graphPoints: number;
  /** Points of records that were deleted or replaced. */
  readonly graphTombstones: number;
  /** Whether a graph is being made anew, beside the one that serves. */
  readonly renewing: boolean;
  /** Collections whose graph is being loaded from its checkpoint, or about to be. */
  readonly graphsLoading: number;
  /** Collections whose graph is being made anew: worn, or from records that no checkpoint had. */
  readonly graphsRebuilding: number;
}

export function writeEngineState(writer: ProtobufWriter, field: number, state: EngineState): void {
  writer.open(field).uint(1, state.headRows).uint(2, state.graphPoints);
  writer.uint(3, state.graphTombstones).bool(4, state.renewing);
  writer.uint(5, state.graphsLoading).uint(6, state.graphsRebuilding).close();
}

export function readEngineState(reader: ProtobufReader): EngineState {
  const outer = reader.open();
  const state = {
    headRows: 0,
    graphPoints: 0,
    graphTombstones: 0,
    renewing: false,
    graphsLoading: 0,
    graphsRebuilding: 0,
  };
  while (reader.next()) {
    if (reader.field === 1) state.headRows = reader.uint64();
    else if (reader.field === 2) state.graphPoints = reader.uint64();
    else if (reader.field === 3) state.graphTombstones = reader.uint64();
    else if (reader.field === 4) state.renewing = reader.bool();
    else if (reader.field === 5) state.graphsLoading = reader.uint64();
    else if (reader.field === 6) state.graphsRebuilding = reader.uint64();
    else reader.skip();
  }
  reader.close(outer);
  return state;
}
