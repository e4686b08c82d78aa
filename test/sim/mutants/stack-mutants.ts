import type { Mutant } from './mutant.js';

/** Known bugs of what is around the core, which need whole nodes to show. */
export const STACK_MUTANTS: readonly Mutant[] = [
  {
    id: 'X-14',
    name: 'stores the applied index before, not with, what was applied (A3)',
    file: 'src/engine/point-store.ts',
    find: `    await this.#kv.batch([...changes, { type: 'put', key: APPLIED_INDEX_KEY, value }], {
      sync: changes.length > 0,
    });`,
    replace: `    const index = { type: 'put', key: APPLIED_INDEX_KEY, value } as const;
    await this.#kv.batch([index], { sync: true });
    await this.#kv.batch(changes, { sync: true });`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-17',
    name: 'sends the first piece of a snapshot again, whatever the receiver wants (P3)',
    file: 'src/replica/snapshot-pieces.ts',
    find: '    const next = offset + this.#pieceSizeBytes;',
    // In small pieces, so that what a simulated shard holds does not fit into one.
    replace: `    this.#pieceSizeBytes = 256;
    if (offset >= 0) return this.#read(0);
    const next = offset + this.#pieceSizeBytes;`,
    kind: 'liveness',
    simulator: 'full',
  },
  {
    id: 'X-27',
    name: 'holds conditions against what the leader has applied when it proposes (W1)',
    file: 'src/replica/local-replica.ts',
    find: `    const release = await this.#group.admit(sizeBytes, context);
`,
    replace: `    const release = await this.#group.admit(sizeBytes, context);
    const { encodeCommand } = await import('../shared/codec/command.js');
    const isMet = (condition, found) =>
      condition?.kind === 'version'
        ? found?.version === condition.version
        : (condition?.kind === 'exists') === (found !== undefined);
    const given = commands;
    commands = [];
    for (const bytes of given) {
      const { command } = decodeCommand(bytes);
      if (command.kind !== 'write') commands.push(bytes);
      else {
        const found = await this.#engine.fetch(command, command.operations, {});
        const operations = command.operations.map((one, at) =>
          isMet(one.condition, found[at]) ? { ...one, condition: undefined } : one);
        commands.push(encodeCommand({ ...command, operations }));
      }
    }
`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-28',
    name: 'takes the labels of a checkpoint for records that have changed since (H6)',
    file: 'src/engine/checkpoint/restore-graph.ts',
    find: 'row !== undefined && rows.versionOf(row) === record?.version;',
    replace: 'row !== undefined;',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-29',
    name: "removes what has expired by each replica's own clock (W3)",
    file: 'src/engine/open-shard.ts',
    find: `    const results: CommandResult[] = [];
`,
    replace: `    const results: CommandResult[] = [];
    for (const due of this.#data.expired(this.#environment.clock.wallMs(), 1_000)) {
      const expire = { index: lastIndex, version: 0n, command: { kind: 'expire', ...due } };
      this.#data.apply(expire, batch, (id, name) => this.#records(id).readNow(name));
    }
`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-30',
    name: 'applies a patch again when it is sent again (A7)',
    file: 'src/engine/write-applier.ts',
    find: '    if (outcomes.has(operation.ordinal)) continue;',
    replace: "    if (outcomes.has(operation.ordinal) && operation.kind !== 'patch') continue;",
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-31',
    name: 'sweeps what was written again since it was found to match',
    file: 'src/router/router.ts',
    find: 'deleteOperation(place(at, id, shardKey), version)',
    replace: 'deleteOperation(place(at, id, shardKey), undefined)',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-32',
    name: 'forgets the expiry of a record that is patched (W2)',
    file: 'src/engine/writes/record-writer.ts',
    find: 'const value = { ...stored, version, metadata };',
    replace: 'const value = { version, values: stored.values, metadata };',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-33',
    name: 'forgets that a record has changed while its graph is loaded (H6)',
    file: 'src/engine/collection-graphs.ts',
    find: '    this.#restored?.drop(row);\n',
    replace: '',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-34',
    name: 'loads a graph whose file has another checksum (H5)',
    file: 'src/engine/index/saved-file.ts',
    find: 'if (reader.crc32c !== saved.crc32c) {',
    replace: 'if (saved.crc32c === undefined) {',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-35',
    name: 'looks at the age of a bounded read only before it is read (R12)',
    file: 'src/replica/consistent-reads.ts',
    find: '      if (this.#mark.ageMs(complete) <= boundedMs) return answer;',
    replace: '      return answer;',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-36',
    name: 'counts the age of its state from the answer of its leader (R11)',
    file: 'src/replica/freshness-rounds.ts',
    find: `    this.#mark.note(asked);
    return asked;
`,
    replace: `    const answered = this.#mark.now();
    this.#mark.note(answered);
    return answered;
`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-37',
    name: 'serves a session whatever it has seen (R13)',
    file: 'src/replica/consistent-reads.ts',
    find: '    if (this.#group.appliedIndex < minIndex) {',
    replace: '    if (this.#group.appliedIndex < 0) {',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-38',
    name: 'answers reads of routers whose table is older (O3)',
    file: 'src/engine/ownership.ts',
    find: 'if (asked !== this.version)',
    replace: 'if (asked > this.version)',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-39',
    name: 'writes what it does not own, by whichever table (O2, O3)',
    file: 'src/engine/shard-data.ts',
    find: 'if (command.ownershipVersion !== ownership.version || !ownsAll) {',
    replace: 'if (command.ownershipVersion > ownership.version && !ownsAll) {',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-40',
    name: 'forgets the tenant of a search (U1)',
    file: 'src/engine/search.ts',
    find: `selection: Selection): RowSelector {
  const { filter, tenant, shardKeys } = selection;`,
    replace: `selection: Selection): RowSelector {
  const { filter, shardKeys } = selection;
  const tenant = 'k' in selection ? undefined : selection.tenant;`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-41',
    name: 'forgets the tenant of a count (U1)',
    file: 'src/engine/open-shard.ts',
    find: 'countCollection(collection, selection, means),',
    replace: 'countCollection(collection, { ...selection, tenant: undefined }, means),',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-42',
    name: 'sends a write again under another key (A7)',
    file: 'src/router/writer.ts',
    find: '        requestKey: key.key(),',
    replace: `        requestKey: this.#request.requestKey ??
          this.#hold(this.#options.keys.take()).key(),`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-43',
    name: 'lifts a fence while nobody knows what was decided (O1)',
    file: 'src/topology/tenant-driver.ts',
    find: "return this.#propose({ kind: 'decideTenantChange', changeId, ...outcome });",
    // Impatient, too: else it hardly ever is in doubt.
    replace: `const decide = { kind: 'decideTenantChange', changeId, ...outcome };
        try {
          return void (await this.#options.topology.propose(decide, { timeoutMs: 30 }));
        } catch (error) {
          await this.#lift(change);
          throw error;
        }`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-44',
    name: 'opens the shard that gains a tenant before the change is decided (O1, O3)',
    file: 'src/topology/tenant-driver.ts',
    find: `      if (!mayLose(change)) continue;
`,
    replace: `      if (!mayLose(change)) {
        const ownershipVersion = steps.find((step) => step.shardId === shardId)?.ownershipVersion;
        const opened = { changeId, placementId, change, ownershipVersion };
        await this.#tell(shardId, { kind: 'changeOwnership', ...opened });
        continue;
      }
`,
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-45',
    name: 'tells the shard that gains a tenant before the one that loses it (O3)',
    file: 'src/topology/tenant-driver.ts',
    find: 'for (const { shardId, ownershipVersion, change } of steps) {',
    replace: 'for (const { shardId, ownershipVersion, change } of [...steps].reverse()) {',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-46',
    name: 'applies again what the shard may have applied that had the tenant before (O5)',
    file: 'src/engine/write-applier.ts',
    find: 'if (isNew && mayHaveMoved && sessions.mayBeElsewhere(requestKey)) {',
    replace: 'if (isNew && mayHaveMoved && sessions.mayBeElsewhere(requestKey) && index < 0) {',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-47',
    name: 'gives a tenant that has moved lower versions than it had (O6)',
    file: 'src/replica/local-replica.ts',
    find: '    this.#clock.observe(floor);\n',
    replace: '',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-48',
    name: 'gives an answer that it has kept to another tenant (V1)',
    file: 'src/router/search-key.ts',
    find: '  writeText(writer, selection.tenant);\n',
    replace: '',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-49',
    name: 'gives answers that it has kept to bounded reads, however old they are (V2)',
    file: 'src/router/search-cache.ts',
    find: 'if (ageMs <= consistency.boundedMs) return undefined;',
    replace: 'if (ageMs >= 0) return undefined;',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-50',
    name: 'tells of what it has kept the age that it had when it came (V2)',
    file: 'src/router/search-cache.ts',
    find: '({ ...part, ageMs: ageMs + keptMs })',
    replace: '({ ...part, ageMs })',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-51',
    name: 'gives answers that it has kept after it has heard of newer entries (V3)',
    file: 'src/router/search-cache.ts',
    find: 'const isOld = heard.appliedIndex > appliedIndex;',
    replace: 'const isOld = heard.appliedIndex < 0;',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-52',
    name: 'keeps answers that may not show what it has written, by their index alone (V3)',
    file: 'src/router/search-cache.ts',
    find: 'return isOld || heard.writtenMs >= asked.monotonicMs - ageMs;',
    replace: 'return isOld;',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-53',
    name: 'keeps answers of unknown age, and takes them for new (V4)',
    file: 'src/router/search-cache.ts',
    find: 'if (aged.length < sources.length || !isOfUse) return;',
    replace: 'if (!isOfUse) return;',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-54',
    name: 'answers without shards and does not say so (M-53)',
    file: 'src/router/scatter.ts',
    find: 'shards: { total: shardIds.length, ok: values.length, failed } };',
    replace: 'shards: { total: values.length, ok: values.length, failed: [] } };',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-55',
    name: 'keeps answers without shards, and gives them as whole ones (V4)',
    file: 'src/router/reader.ts',
    find: 'const isWhole = found.shards.failed.length === 0;',
    replace: 'const isWhole = found.shards.total > 0;',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-56',
    name: 'forgets what it is just storing (A3, H1)',
    file: 'src/engine/pending-writes.ts',
    find: ` ??
      this.#storing?.records(collectionId).get(name)`,
    replace: '',
    kind: 'safety',
    simulator: 'full',
  },
  {
    id: 'X-57',
    name: 'writes over frames that are on their way, as soon as one of them has left',
    file: 'src/transport/outbox.ts',
    find: `    return encodeFrame(records, new ByteWriter(this.#rooms.take(sizeBytes)));
`,
    replace: `    const frame = encodeFrame(records, new ByteWriter(this.#rooms.take(sizeBytes)));
    this.sent ??= [];
    this.sent.push(frame);
    this.reuse = () => this.sent.splice(0).forEach((one) => this.#rooms.giveBack(one));
    return frame;
`,
    kind: 'safety',
    simulator: 'full',
  },
];
