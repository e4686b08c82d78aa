/** What a replica holds, in the calls between nodes. */
import type {
  CollectionContent,
  ContentFault,
  ContentQuery,
  ContentReport,
  SlotContent,
} from '../engine/engine.js';
import { type ByteReader, ByteWriter } from '../shared/bytes.js';
import {
  RPC_FORMAT,
  readAnswer,
  readList,
  readOptional,
  writeList,
  writeOptional,
} from './rpc-parts.js';

const HASH_BYTES = 16;

export function writeContentQuery(writer: ByteWriter, { mark, deep }: ContentQuery): void {
  writeOptional(writer, mark, (index) => writer.varint(index));
  writer.bool(deep);
}

export function readContentQuery(reader: ByteReader): ContentQuery {
  const mark = readOptional(reader, () => reader.varint());
  return { ...(mark !== undefined && { mark }), deep: reader.bool() };
}

export function encodeContentReport({ contents, faults }: ContentReport): Uint8Array {
  const writer = new ByteWriter(4_096).u8(RPC_FORMAT);
  writeOptional(writer, contents, (collections) =>
    writeList(writer, collections, ({ collectionId, slots }) => {
      writer.varint(collectionId);
      writeList(writer, slots, (slot) => writeSlot(writer, slot));
    }),
  );
  writeList(writer, faults, ({ collectionId, kept, found }) => {
    writer.varint(collectionId);
    writeSlot(writer, kept);
    writeSlot(writer, found);
  });
  return writer.finish();
}

export function decodeContentReport(bytes: Uint8Array): ContentReport {
  return readAnswer(bytes, (reader) => {
    const contents = readOptional(reader, () =>
      readList(
        reader,
        (): CollectionContent => ({
          collectionId: reader.varint(),
          slots: readList(reader, () => readSlot(reader)),
        }),
      ),
    );
    const faults = readList(
      reader,
      (): ContentFault => ({
        collectionId: reader.varint(),
        kept: readSlot(reader),
        found: readSlot(reader),
      }),
    );
    return { ...(contents !== undefined && { contents }), faults };
  });
}

function writeSlot(writer: ByteWriter, { slot, records, hash }: SlotContent): void {
  writer.varint(slot).varint(records).raw(Buffer.from(hash, 'hex'));
}

function readSlot(reader: ByteReader): SlotContent {
  return {
    slot: reader.varint(),
    records: reader.varint(),
    hash: Buffer.from(reader.raw(HASH_BYTES)).toString('hex'),
  };
}
