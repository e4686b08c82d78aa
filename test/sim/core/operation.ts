/** What clients ask the replicated registers to do, and how it travels in a log entry. */

export type WriteKind = 'put' | 'cas' | 'delete';

export interface WriteOperation {
  readonly kind: WriteKind;
  readonly key: number;
  /** Unique in the run: tells who wrote. */
  readonly serial: number;
  /** cas: writes only where this serial is found; 0 for no value. */
  readonly expected: number;
}

const KINDS: readonly WriteKind[] = ['put', 'cas', 'delete'];

export function encodeOperation({ kind, key, serial, expected }: WriteOperation): Uint8Array {
  return new Uint8Array(new Int32Array([KINDS.indexOf(kind), key, serial, expected]).buffer);
}

export function decodeOperation(data: Uint8Array): WriteOperation {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const kind = KINDS[view.getInt32(0, true)];
  if (kind === undefined) throw new RangeError(`no operation: ${data}`);
  const [key, serial, expected] = [4, 8, 12].map((at) => view.getInt32(at, true));
  return { kind, key: key ?? 0, serial: serial ?? 0, expected: expected ?? 0 };
}
