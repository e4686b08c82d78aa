/** Whether a write may be applied to its record as that is. Decided by the log alone (W1). */
import { unreachable } from '../../shared/assert.js';
import type { ErrorBody, Version, WriteCondition } from '../../shared/types.js';

/** Why a record with this version, or none, does not meet the condition. */
export function conditionFault(
  condition: WriteCondition,
  current: Version | undefined,
): ErrorBody | undefined {
  switch (condition.kind) {
    case 'absent':
      return current === undefined ? undefined : recordExists(current);
    case 'exists':
      return current === undefined ? recordMissing() : undefined;
    case 'version':
      return current === condition.version
        ? undefined
        : versionConflict(condition.version, current);
    default:
      return unreachable(condition);
  }
}

export function recordMissing(): ErrorBody {
  return { reason: 'RECORD_NOT_FOUND', message: 'there is no record of this id to change' };
}

function recordExists(current: Version): ErrorBody {
  return {
    reason: 'RECORD_EXISTS',
    message: `there is a record of this id already, with version ${current}`,
    details: { currentVersion: String(current) },
  };
}

function versionConflict(demanded: Version, current: Version | undefined): ErrorBody {
  const demand = `the write demands version ${demanded}`;
  if (current === undefined) {
    const message = `${demand}, and there is no record of this id`;
    return { reason: 'VERSION_CONFLICT', message, details: { record: 'missing' } };
  }
  return {
    reason: 'VERSION_CONFLICT',
    message: `${demand}, and the record has ${current}`,
    details: { currentVersion: String(current) },
  };
}
