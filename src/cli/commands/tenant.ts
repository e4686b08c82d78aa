/** `flotilla tenant`: which shard a tenant is on, and how much tenants hold. */
import { type Command, Option } from 'commander';
import type { Flotilla, TenantChangeResponse, TenantsDescription } from '../../client/index.js';
import { LIMITS } from '../../shared/limits.js';
import type { CliContext } from '../context.js';
import { EXIT, EXIT_CODES_HELP, type ExitCode } from '../exit-codes.js';
import { addClientOptions, type ClientOptions, integerOption, withClient } from '../options.js';
import { formatCount } from '../render/format.js';
import { renderTable } from '../render/table.js';

interface ChangeOptions extends ClientOptions {
  readonly by?: string;
}

interface ShardOptions extends ChangeOptions {
  readonly shard: number;
}

interface CountOptions extends ClientOptions {
  readonly collection?: string;
  readonly after?: string;
  readonly limit: number;
}

interface AuditOptions extends ClientOptions {
  readonly limit: number;
}

interface CancelOptions extends ClientOptions {
  readonly change: number;
}

type Finish = (code: ExitCode) => void;

const shardOption = integerOption(0, LIMITS.shardsMax.value - 1);

export function addTenantCommand(program: Command, context: CliContext, finish: Finish): void {
  const tenant = program
    .command('tenant')
    .description('which shard a tenant is on, in collections that are routed by tenant');
  addAssign(tenant, context, finish);
  addRelease(tenant, context, finish);
  addShardVerb(tenant, 'dedicate', context, finish);
  addShardVerb(tenant, 'share', context, finish);
  addCancel(tenant, context, finish);
  addStats(tenant, context, finish);
  addAudit(tenant, context, finish);
}

function addAssign(tenant: Command, context: CliContext, finish: Finish): void {
  const assign = tenant
    .command('assign')
    .description('assign a tenant without records to a shard')
    .argument('<tenant>', 'the tenant')
    .requiredOption('--shard <id>', 'the shard', shardOption)
    .addOption(byOption())
    .addHelpText(
      'after',
      `
Examples:
  flotilla tenant assign acme --shard 3
  flotilla tenant assign acme --shard 3 --by "ops, ticket 1234"
${EXIT_CODES_HELP}`,
    );
  addClientOptions(assign).action(async (name: string, options: ShardOptions) => {
    await change(context, options, `tenant ${name} is on shard ${options.shard}`, (client) =>
      client.assignTenant({ tenant: name, shardId: options.shard }, callOptions(options, context)),
    );
    finish(EXIT.ok);
  });
}

function addRelease(tenant: Command, context: CliContext, finish: Finish): void {
  const release = tenant
    .command('release')
    .description('let a tenant be spread by its hash again, which must be where it is')
    .argument('<tenant>', 'the tenant')
    .addOption(byOption())
    .addHelpText('after', `\nExample:\n  flotilla tenant release acme\n${EXIT_CODES_HELP}`);
  addClientOptions(release).action(async (name: string, options: ChangeOptions) => {
    await change(context, options, `tenant ${name} is spread by hash`, (client) =>
      client.releaseTenant(name, callOptions(options, context)),
    );
    finish(EXIT.ok);
  });
}

function addShardVerb(
  tenant: Command,
  verb: 'dedicate' | 'share',
  context: CliContext,
  finish: Finish,
): void {
  const isDedicated = verb === 'dedicate';
  const command = tenant
    .command(verb)
    .description(
      isDedicated
        ? 'make a shard take assigned tenants only'
        : 'end that; tenants that are spread by hash do not come back to it by this',
    )
    .requiredOption('--shard <id>', 'the shard', shardOption)
    .addOption(byOption())
    .addHelpText('after', `\nExample:\n  flotilla tenant ${verb} --shard 3\n${EXIT_CODES_HELP}`);
  addClientOptions(command).action(async (options: ShardOptions) => {
    const { shard } = options;
    const what = `shard ${shard} is ${isDedicated ? 'dedicated' : 'shared'}`;
    await change(context, options, what, (client) =>
      isDedicated
        ? client.dedicateShard(shard, callOptions(options, context))
        : client.shareShard(shard, callOptions(options, context)),
    );
    finish(EXIT.ok);
  });
}

function addCancel(tenant: Command, context: CliContext, finish: Finish): void {
  const command = tenant
    .command('cancel')
    .description('give up a change that is not decided')
    .requiredOption(
      '--change <id>',
      'the change, as flotilla tenant stats shows it',
      integerOption(1, Number.MAX_SAFE_INTEGER),
    )
    .addHelpText(
      'after',
      `
Example:
  flotilla tenant cancel --change 7

May be repeated: it never hits another change. One that was given up or refused before is no error,
one that is decided, or never was, is. The next change waits until the shard that would have lost
its tenants knows that it keeps them.
${EXIT_CODES_HELP}`,
    );
  addClientOptions(command).action(async (options: CancelOptions) => {
    const { change: changeId, timeoutMs, json } = options;
    const answer = await withClient(context, options, (client) =>
      client.cancelTenantChange(changeId, { timeoutMs }),
    );
    context.stdout.write(json ? jsonText(answer) : `change ${changeId} is given up\n`);
    finish(EXIT.ok);
  });
}

function addStats(tenant: Command, context: CliContext, finish: Finish): void {
  const stats = tenant
    .command('stats')
    .description('how much shards hold, and limits that are near; or the tenants of a collection')
    .option('--collection <name>', 'count the records of its tenants instead')
    .option('--after <tenant>', 'with a collection: only tenants after this one')
    .option(
      '--limit <tenants>',
      'with a collection: how many tenants to show',
      integerOption(1, LIMITS.tenantsListMax.value),
      100,
    )
    .addHelpText(
      'after',
      `
Examples:
  flotilla tenant stats
  flotilla tenant stats --collection notes --limit 20
${EXIT_CODES_HELP}`,
    );
  addClientOptions(stats).action(async (options: CountOptions) => {
    const { collection } = options;
    if (collection === undefined) finish(await showShards(context, options));
    else {
      await showTenants(context, options, collection);
      finish(EXIT.ok);
    }
  });
}

function addAudit(tenant: Command, context: CliContext, finish: Finish): void {
  const audit = tenant
    .command('audit')
    .description('what was changed, when and by whom; the newest at the end')
    .option(
      '--limit <entries>',
      'how many to show',
      integerOption(1, LIMITS.tenantAuditMax.value),
      20,
    )
    .addHelpText('after', `\nExample:\n  flotilla tenant audit --limit 100\n${EXIT_CODES_HELP}`);
  addClientOptions(audit).action(async (options: AuditOptions) => {
    const { timeoutMs, json, limit } = options;
    const description = await withClient(context, options, (client) =>
      client.describeTenants({ timeoutMs, withUsage: false }),
    );
    const entries = description.audit.slice(-limit);
    context.stdout.write(json ? jsonText(entries) : auditTable(entries));
    finish(EXIT.ok);
  });
}

async function change(
  context: CliContext,
  options: ChangeOptions,
  what: string,
  make: (client: Flotilla) => Promise<TenantChangeResponse>,
): Promise<void> {
  const answer = await withClient(context, options, make);
  const text = answer.changed ? `${what}\n` : `${what} already\n`;
  context.stdout.write(options.json ? jsonText(answer) : text);
}

async function showShards(context: CliContext, options: CountOptions): Promise<ExitCode> {
  const { timeoutMs, json } = options;
  const description = await withClient(context, options, (client) =>
    client.describeTenants({ timeoutMs }),
  );
  const { audit: _, ...shown } = description;
  const isKnown = description.shards.length > 0;
  if (json) {
    context.stdout.write(jsonText(shown));
    return isKnown ? EXIT.ok : EXIT.unavailable;
  }
  context.stdout.write(isKnown ? shardsTable(description) : assignmentsTable(description));
  if (!isKnown) context.stderr.write('a shard does not answer: what they hold is not known\n');
  showChange(description, context);
  for (const { shardId, what, level, count, max } of description.findings) {
    const limit = `the limit is ${formatCount(max)}`;
    const text = `shard ${shardId} holds ${formatCount(count)} ${what}, ${limit}`;
    context.stderr.write(`${level === 'exceeded' ? 'too much' : 'warning'}: ${text}\n`);
  }
  return isKnown ? EXIT.ok : EXIT.unavailable;
}

function showChange({ change }: TenantsDescription, context: CliContext): void {
  if (change === undefined) return;
  const { changeId, action, tenant, shardId, stage } = change;
  const where = shardId === undefined ? '' : ` on shard ${shardId}`;
  const what = `${action}${tenant === '' ? '' : ` ${JSON.stringify(tenant)}`}${where}`;
  context.stderr.write(`change ${changeId} is under way, ${stage}: ${what}\n`);
}

async function showTenants(
  context: CliContext,
  options: CountOptions,
  collection: string,
): Promise<void> {
  const { timeoutMs, json, after, limit } = options;
  const answer = await withClient(context, options, (client) =>
    client.countTenants(collection, { timeoutMs, limit, ...(after !== undefined && { after }) }),
  );
  if (json) {
    context.stdout.write(jsonText(answer));
    return;
  }
  context.stdout.write(
    renderTable(
      [
        { title: 'tenant' },
        { title: 'shard', align: 'right' },
        { title: 'records', align: 'right' },
      ],
      answer.counts.map(({ tenant, shardId, records }) => [
        tenant === '' ? '(nobody)' : tenant,
        String(shardId),
        formatCount(records),
      ]),
    ),
  );
  const last = answer.counts.at(-1)?.tenant;
  if (answer.hasMore && last !== undefined) {
    context.stderr.write(`there are more: --after ${JSON.stringify(last)}\n`);
  }
}

function shardsTable({ shards, assignments, dedicatedShards }: TenantsDescription): string {
  return renderTable(
    [
      { title: 'shard', align: 'right' },
      { title: 'tenants', align: 'right' },
      { title: 'vectors', align: 'right' },
      { title: 'assigned', align: 'right' },
      { title: 'kind' },
    ],
    shards.map(({ shardId, tenants, vectors }) => [
      String(shardId),
      formatCount(tenants),
      formatCount(vectors),
      formatCount(assignments.filter((one) => one.shardId === shardId).length),
      dedicatedShards.includes(shardId) ? 'dedicated' : 'shared',
    ]),
  );
}

function assignmentsTable({ assignments }: TenantsDescription): string {
  return renderTable(
    [{ title: 'tenant' }, { title: 'assigned to', align: 'right' }],
    assignments.map(({ tenant, shardId }) => [tenant, String(shardId)]),
  );
}

function auditTable(entries: TenantsDescription['audit']): string {
  return renderTable(
    [
      { title: 'change', align: 'right' },
      { title: 'when' },
      { title: 'what' },
      { title: 'tenant' },
      { title: 'from', align: 'right' },
      { title: 'shard', align: 'right' },
      { title: 'by' },
      { title: 'result' },
    ],
    entries.map(({ changeId, atMs, action, tenant, fromShardId, shardId, by, refused }) => [
      String(changeId),
      new Date(atMs).toISOString(),
      action,
      tenant,
      fromShardId === undefined ? '' : String(fromShardId),
      shardId === undefined ? '' : String(shardId),
      by,
      refused === '' ? 'done' : refused,
    ]),
  );
}

function byOption(): Option {
  return new Option(
    '--by <who>',
    'who asks for it, for the audit log (default: USER of the environment)',
  );
}

function callOptions(
  { timeoutMs, by }: ChangeOptions,
  { environment }: CliContext,
): { readonly timeoutMs: number; readonly by: string } {
  return { timeoutMs, by: by ?? environment.USER ?? '' };
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
