/** Idempotency keys in the messages of writes, which all have them in the same field. */
import type { RequestKey } from './command.js';
import type { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

export function writeRequestKey(writer: ProtobufWriter, key: RequestKey | undefined): void {
  if (key === undefined) return;
  writer.open(3).string(1, key.clientId).uint(2, key.clientStampMs);
  writer.uint(3, key.sequence).uint(4, key.lowestUnanswered).close();
}

export function readRequestKey(reader: ProtobufReader): RequestKey {
  const outer = reader.open();
  let clientId = '';
  let clientStampMs = 0;
  let sequence = 0;
  let lowestUnanswered = 0;
  while (reader.next()) {
    if (reader.field === 1) clientId = reader.string();
    else if (reader.field === 2) clientStampMs = reader.uint64();
    else if (reader.field === 3) sequence = reader.uint64();
    else if (reader.field === 4) lowestUnanswered = reader.uint64();
    else reader.skip();
  }
  reader.close(outer);
  return { clientId, clientStampMs, sequence, lowestUnanswered };
}
