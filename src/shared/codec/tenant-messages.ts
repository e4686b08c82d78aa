/**
 * The messages of the public Tenants service, written and read by hand. What api-messages.ts says
 * about malformed bytes and unknown fields holds here too.
 */
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

/** AssignTenant, ReleaseTenant, DedicateShard and ShareShard. */
export interface TenantChangeRequest {
  /** Empty where the change is about a shard. */
  readonly tenant: string;
  readonly shardId?: number | undefined;
  readonly by: string;
}

export interface TenantChangeResponse {
  readonly changed: boolean;
  readonly epoch: number;
}

export interface TenantAssignmentMessage {
  readonly tenant: string;
  readonly shardId: number;
}

export interface ShardTenancyMessage {
  readonly shardId: number;
  /** Tenants with at least one record. */
  readonly tenants: number;
  readonly vectors: number;
}

export interface TenancyFindingMessage {
  readonly shardId: number;
  /** 'tenants' or 'vectors'. */
  readonly what: string;
  /** 'warning' or 'exceeded'. */
  readonly level: string;
  readonly count: number;
  readonly max: number;
}

export interface TenantAuditMessage {
  readonly changeId: number;
  /** 'assignTenant', 'releaseTenant', 'dedicateShard' or 'shareShard'. */
  readonly action: string;
  /** Empty where the change is about a shard. */
  readonly tenant: string;
  readonly shardId?: number | undefined;
  /** Where an assigned tenant was before. */
  readonly fromShardId?: number | undefined;
  readonly by: string;
  /** Since 1970. */
  readonly atMs: number;
  /** Why it was not done; empty where it was. */
  readonly refused: string;
}

/** A change that is not over. */
export interface TenantChangeMessage {
  readonly changeId: number;
  /** As in `TenantAuditMessage`, like what follows. */
  readonly action: string;
  readonly tenant: string;
  readonly shardId?: number | undefined;
  readonly by: string;
  readonly atMs: number;
  /** 'fencing' while it may be given up; 'opening' or 'lifting' once it is decided. */
  readonly stage: string;
}

export interface DescribeTenantsRequest {
  /** Whether to leave out what the shards hold, which asks them all. */
  readonly withoutUsage: boolean;
}

export interface TenantsDescription {
  readonly assignments: readonly TenantAssignmentMessage[];
  readonly dedicatedShards: readonly number[];
  /** Empty where it was left out, or a shard could not be asked. */
  readonly shards: readonly ShardTenancyMessage[];
  readonly findings: readonly TenancyFindingMessage[];
  /** The oldest first. */
  readonly audit: readonly TenantAuditMessage[];
  /** There is one at a time. */
  readonly change?: TenantChangeMessage | undefined;
}

export interface CountTenantsRequest {
  readonly collection: string;
  readonly after?: string | undefined;
  /** 0 for the default. */
  readonly limit: number;
}

export interface TenantCountMessage {
  readonly tenant: string;
  readonly shardId: number;
  readonly records: number;
}

export interface CountTenantsResponse {
  /** By tenant, then by shard. */
  readonly counts: readonly TenantCountMessage[];
  readonly hasMore: boolean;
}

export function encodeTenantChangeRequest(message: TenantChangeRequest): Buffer {
  const writer = new ProtobufWriter(64).string(1, message.tenant);
  return writer.optionalUint(2, message.shardId).string(3, message.by).finish();
}

export function decodeTenantChangeRequest(bytes: Uint8Array): TenantChangeRequest {
  const reader = new ProtobufReader(bytes);
  let tenant = '';
  let shardId: number | undefined;
  let by = '';
  while (reader.next()) {
    if (reader.field === 1) tenant = reader.string();
    else if (reader.field === 2) shardId = reader.uint32();
    else if (reader.field === 3) by = reader.string();
    else reader.skip();
  }
  return { tenant, shardId, by };
}

export function encodeTenantChangeResponse({ changed, epoch }: TenantChangeResponse): Buffer {
  return new ProtobufWriter(16).bool(1, changed).uint(2, epoch).finish();
}

export function decodeTenantChangeResponse(bytes: Uint8Array): TenantChangeResponse {
  const reader = new ProtobufReader(bytes);
  let changed = false;
  let epoch = 0;
  while (reader.next()) {
    if (reader.field === 1) changed = reader.bool();
    else if (reader.field === 2) epoch = reader.uint64();
    else reader.skip();
  }
  return { changed, epoch };
}

/** The id of a change that is to be given up. */
export function encodeTenantChangeId(changeId: number): Buffer {
  return new ProtobufWriter(16).uint(1, changeId).finish();
}

export function decodeTenantChangeId(bytes: Uint8Array): number {
  const reader = new ProtobufReader(bytes);
  let changeId = 0;
  while (reader.next()) {
    if (reader.field === 1) changeId = reader.uint64();
    else reader.skip();
  }
  return changeId;
}

export function encodeDescribeTenantsRequest({ withoutUsage }: DescribeTenantsRequest): Buffer {
  return new ProtobufWriter(16).bool(1, withoutUsage).finish();
}

export function decodeDescribeTenantsRequest(bytes: Uint8Array): DescribeTenantsRequest {
  const reader = new ProtobufReader(bytes);
  let withoutUsage = false;
  while (reader.next()) {
    if (reader.field === 1) withoutUsage = reader.bool();
    else reader.skip();
  }
  return { withoutUsage };
}

export function encodeTenantsDescription(message: TenantsDescription): Buffer {
  const writer = new ProtobufWriter(1_024);
  for (const { tenant, shardId } of message.assignments) {
    writer.open(1).string(1, tenant).uint(2, shardId).close();
  }
  writer.uints(2, message.dedicatedShards);
  for (const { shardId, tenants, vectors } of message.shards) {
    writer.open(3).uint(1, shardId).uint(2, tenants).uint(3, vectors).close();
  }
  for (const { shardId, what, level, count, max } of message.findings) {
    writer.open(4).uint(1, shardId).string(2, what).string(3, level);
    writer.uint(4, count).uint(5, max).close();
  }
  for (const entry of message.audit) {
    writer.open(5).uint(1, entry.changeId).string(2, entry.action).string(3, entry.tenant);
    writer.optionalUint(4, entry.shardId).optionalUint(5, entry.fromShardId);
    writer.string(6, entry.by).uint(7, entry.atMs).string(8, entry.refused).close();
  }
  if (message.change !== undefined) writeChange(writer, message.change);
  return writer.finish();
}

function writeChange(writer: ProtobufWriter, change: TenantChangeMessage): void {
  const { changeId, action, tenant, shardId, by, atMs, stage } = change;
  writer.open(6).uint(1, changeId).string(2, action).string(3, tenant);
  writer.optionalUint(4, shardId).string(5, by).uint(6, atMs).string(7, stage).close();
}

export function decodeTenantsDescription(bytes: Uint8Array): TenantsDescription {
  const reader = new ProtobufReader(bytes);
  const assignments: TenantAssignmentMessage[] = [];
  const dedicatedShards: number[] = [];
  const shards: ShardTenancyMessage[] = [];
  const findings: TenancyFindingMessage[] = [];
  const audit: TenantAuditMessage[] = [];
  let change: TenantChangeMessage | undefined;
  while (reader.next()) {
    if (reader.field === 1) assignments.push(readAssignment(reader));
    else if (reader.field === 2) reader.uint32s(dedicatedShards);
    else if (reader.field === 3) shards.push(readShard(reader));
    else if (reader.field === 4) findings.push(readFinding(reader));
    else if (reader.field === 5) audit.push(readAudit(reader));
    else if (reader.field === 6) change = readChange(reader);
    else reader.skip();
  }
  return { assignments, dedicatedShards, shards, findings, audit, change };
}

export function encodeCountTenantsRequest(message: CountTenantsRequest): Buffer {
  const writer = new ProtobufWriter(64).string(1, message.collection);
  return writer.optionalString(2, message.after).uint(3, message.limit).finish();
}

export function decodeCountTenantsRequest(bytes: Uint8Array): CountTenantsRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  let after: string | undefined;
  let limit = 0;
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) after = reader.string();
    else if (reader.field === 3) limit = reader.uint32();
    else reader.skip();
  }
  return { collection, after, limit };
}

export function encodeCountTenantsResponse({ counts, hasMore }: CountTenantsResponse): Buffer {
  const writer = new ProtobufWriter(16 + 48 * counts.length);
  for (const { tenant, shardId, records } of counts) {
    writer.open(1).string(1, tenant).uint(2, shardId).uint(3, records).close();
  }
  return writer.bool(2, hasMore).finish();
}

export function decodeCountTenantsResponse(bytes: Uint8Array): CountTenantsResponse {
  const reader = new ProtobufReader(bytes);
  const counts: TenantCountMessage[] = [];
  let hasMore = false;
  while (reader.next()) {
    if (reader.field === 1) counts.push(readCount(reader));
    else if (reader.field === 2) hasMore = reader.bool();
    else reader.skip();
  }
  return { counts, hasMore };
}

function readAssignment(reader: ProtobufReader): TenantAssignmentMessage {
  const outer = reader.open();
  let tenant = '';
  let shardId = 0;
  while (reader.next()) {
    if (reader.field === 1) tenant = reader.string();
    else if (reader.field === 2) shardId = reader.uint32();
    else reader.skip();
  }
  reader.close(outer);
  return { tenant, shardId };
}

function readShard(reader: ProtobufReader): ShardTenancyMessage {
  const outer = reader.open();
  let shardId = 0;
  let tenants = 0;
  let vectors = 0;
  while (reader.next()) {
    if (reader.field === 1) shardId = reader.uint32();
    else if (reader.field === 2) tenants = reader.uint64();
    else if (reader.field === 3) vectors = reader.uint64();
    else reader.skip();
  }
  reader.close(outer);
  return { shardId, tenants, vectors };
}

function readFinding(reader: ProtobufReader): TenancyFindingMessage {
  const outer = reader.open();
  let shardId = 0;
  let what = '';
  let level = '';
  let count = 0;
  let max = 0;
  while (reader.next()) {
    if (reader.field === 1) shardId = reader.uint32();
    else if (reader.field === 2) what = reader.string();
    else if (reader.field === 3) level = reader.string();
    else if (reader.field === 4) count = reader.uint64();
    else if (reader.field === 5) max = reader.uint64();
    else reader.skip();
  }
  reader.close(outer);
  return { shardId, what, level, count, max };
}

function readAudit(reader: ProtobufReader): TenantAuditMessage {
  const outer = reader.open();
  let shardId: number | undefined;
  let fromShardId: number | undefined;
  const entry = { changeId: 0, action: '', tenant: '', by: '', atMs: 0, refused: '' };
  while (reader.next()) {
    if (reader.field === 1) entry.changeId = reader.uint64();
    else if (reader.field === 2) entry.action = reader.string();
    else if (reader.field === 3) entry.tenant = reader.string();
    else if (reader.field === 4) shardId = reader.uint32();
    else if (reader.field === 5) fromShardId = reader.uint32();
    else if (reader.field === 6) entry.by = reader.string();
    else if (reader.field === 7) entry.atMs = reader.uint64();
    else if (reader.field === 8) entry.refused = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return { ...entry, shardId, fromShardId };
}

function readChange(reader: ProtobufReader): TenantChangeMessage {
  const outer = reader.open();
  let shardId: number | undefined;
  const change = { changeId: 0, action: '', tenant: '', by: '', atMs: 0, stage: '' };
  while (reader.next()) {
    if (reader.field === 1) change.changeId = reader.uint64();
    else if (reader.field === 2) change.action = reader.string();
    else if (reader.field === 3) change.tenant = reader.string();
    else if (reader.field === 4) shardId = reader.uint32();
    else if (reader.field === 5) change.by = reader.string();
    else if (reader.field === 6) change.atMs = reader.uint64();
    else if (reader.field === 7) change.stage = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return { ...change, shardId };
}

function readCount(reader: ProtobufReader): TenantCountMessage {
  const outer = reader.open();
  let tenant = '';
  let shardId = 0;
  let records = 0;
  while (reader.next()) {
    if (reader.field === 1) tenant = reader.string();
    else if (reader.field === 2) shardId = reader.uint32();
    else if (reader.field === 3) records = reader.uint64();
    else reader.skip();
  }
  reader.close(outer);
  return { tenant, shardId, records };
}
