/**
 * Drives a change of the tenant directory to its end (O1 to O5). The state is in the topology
 * document, the steps are idempotent, and only the topology leader takes them: whoever leads next
 * goes on where the last one stopped.
 */

import { unreachable } from '../shared/assert.js';
import type { OwnershipCommand } from '../shared/codec/command.js';
import type { Environment } from '../shared/environment.js';
import { toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { mayLose } from '../shared/ownership.js';
import { joinedReach, type SessionReach } from '../shared/session-reach.js';
import type { ErrorBody } from '../shared/types.js';
import type { TenantCommand } from './document.js';
import type { TenantChange } from './placements.js';
import { checkAgainAndAgain } from './recurring-check.js';
import type { TopologyGroup } from './topology-group.js';
import type { TopologyView } from './view.js';

export interface TenantDriverOptions {
  readonly view: TopologyView;
  readonly topology: TopologyGroup;
  readonly environment: Environment;
  readonly logger: Logger;
  /**
   * Puts a command through a shard's log, again and again until it is applied. Resolves with what
   * a shard tells that owns less by it.
   */
  readonly proposeToShard: (
    shardId: number,
    command: OwnershipCommand,
    timeoutMs: number,
  ) => Promise<SessionReach | undefined>;
}

const STEP_TIMEOUT_MS = 5_000;
const CHECK_PERIOD_MS = 500;

export class TenantDriver {
  readonly #options: TenantDriverOptions;
  readonly #stopChecks: () => void;
  #isDriving = false;

  constructor(options: TenantDriverOptions) {
    this.#options = options;
    const { view, environment } = options;
    const when = { view, scheduler: environment.scheduler, periodMs: CHECK_PERIOD_MS };
    this.#stopChecks = checkAgainAndAgain(when, () => this.#check());
  }

  close(): void {
    this.#stopChecks();
  }

  #check(): void {
    const change = this.#options.view.current()?.placements?.change;
    if (change === undefined || this.#isDriving || !this.#options.topology.isLeader) return;
    this.#isDriving = true;
    this.#drive(change)
      .then(
        () => true,
        (error: unknown) => {
          const { changeId } = change;
          const problem = { changeId, error: String(error) };
          this.#options.logger.warn(
            problem,
            'a change of tenants is not through; it is tried again',
          );
          return false;
        },
      )
      .then((isDone) => {
        this.#isDriving = false;
        // The next stage may have been published while this one was driven.
        if (isDone) this.#check();
      });
  }

  async #drive(change: TenantChange): Promise<void> {
    const { changeId, stage } = change;
    switch (stage) {
      case 'fencing': {
        const refused = await this.#fence(change);
        const outcome = refused === undefined ? {} : { refused };
        return this.#propose({ kind: 'decideTenantChange', changeId, ...outcome });
      }
      case 'opening':
        await this.#openAll(change);
        return this.#propose({ kind: 'finishTenantChange', changeId });
      case 'lifting':
        await this.#lift(change);
        return this.#propose({ kind: 'finishTenantChange', changeId });
      default:
        return unreachable(stage, 'stage');
    }
  }

  /** Why a shard refuses to give away what it has; `undefined` where all are fenced. */
  async #fence({ changeId, placementId, steps }: TenantChange): Promise<ErrorBody | undefined> {
    for (const { shardId, change } of steps) {
      if (!mayLose(change)) continue;
      try {
        await this.#tell(shardId, { kind: 'fenceUnits', changeId, placementId, change });
      } catch (thrown) {
        const { reason, message } = toFlotillaError(thrown).body;
        if (reason !== 'TENANT_HAS_DATA') throw thrown;
        return { reason, message };
      }
    }
    return undefined;
  }

  /**
   * In the order of the steps: until those that lose refuse old tables, nobody else may answer
   * (O3), and before it does it has to know what they may have applied (O5).
   */
  async #openAll({ changeId, placementId, steps }: TenantChange): Promise<void> {
    let reach: SessionReach | undefined;
    for (const { shardId, ownershipVersion, change } of steps) {
      const told = await this.#tell(shardId, {
        kind: 'changeOwnership',
        changeId,
        placementId,
        change,
        ownershipVersion,
        ...(reach !== undefined && !mayLose(change) && { reach }),
      });
      if (told !== undefined) reach = reach === undefined ? told : joinedReach(reach, told);
    }
  }

  /** Only who may lose was asked to be fenced: nobody waits for the others. */
  async #lift({ changeId, placementId, steps }: TenantChange): Promise<void> {
    for (const { shardId, change } of steps) {
      if (mayLose(change)) await this.#tell(shardId, { kind: 'liftFence', changeId, placementId });
    }
  }

  #tell(shardId: number, command: OwnershipCommand): Promise<SessionReach | undefined> {
    return this.#options.proposeToShard(shardId, command, STEP_TIMEOUT_MS);
  }

  async #propose(command: TenantCommand): Promise<void> {
    await this.#options.topology.propose(command, { timeoutMs: STEP_TIMEOUT_MS });
  }
}
