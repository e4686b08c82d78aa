/** What shards own, in entries of their logs and in their stores. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import type {
  AssignedTenants,
  ListChange,
  OwnershipChange,
  PlacementOwnership,
} from '../ownership.js';

export function writeOwnership(writer: ByteWriter, ownership: PlacementOwnership): void {
  const { placementId, units, tenants } = ownership;
  writer.varint(placementId);
  writeNumbers(writer, units);
  writer.bool(tenants !== undefined);
  if (tenants === undefined) return;
  writeTexts(writer, tenants.here);
  writeTexts(writer, tenants.elsewhere);
}

export function readOwnership(reader: ByteReader): PlacementOwnership {
  const placementId = reader.varint();
  const units = readNumbers(reader);
  if (!reader.bool()) return { placementId, units };
  const tenants: AssignedTenants = { here: readTexts(reader), elsewhere: readTexts(reader) };
  return { placementId, units, tenants };
}

export function writeOwnershipChange(writer: ByteWriter, change: OwnershipChange): void {
  writeNumbers(writer, change.units.added);
  writeNumbers(writer, change.units.removed);
  for (const { added, removed } of [change.here, change.elsewhere]) {
    writeTexts(writer, added);
    writeTexts(writer, removed);
  }
}

export function readOwnershipChange(reader: ByteReader): OwnershipChange {
  const units = { added: readNumbers(reader), removed: readNumbers(reader) };
  return { units, here: readTextChange(reader), elsewhere: readTextChange(reader) };
}

function readTextChange(reader: ByteReader): ListChange<string> {
  return { added: readTexts(reader), removed: readTexts(reader) };
}

function writeNumbers(writer: ByteWriter, numbers: readonly number[]): void {
  writer.varint(numbers.length);
  for (const number of numbers) writer.varint(number);
}

function readNumbers(reader: ByteReader): number[] {
  const numbers: number[] = [];
  for (let left = reader.varint(); left > 0; left--) numbers.push(reader.varint());
  return numbers;
}

function writeTexts(writer: ByteWriter, texts: readonly string[]): void {
  writer.varint(texts.length);
  for (const text of texts) writer.string(text);
}

function readTexts(reader: ByteReader): string[] {
  const texts: string[] = [];
  for (let left = reader.varint(); left > 0; left--) texts.push(reader.string());
  return texts;
}
