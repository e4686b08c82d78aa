/**
 * What the core does not do yet. A file that needs any of it is `not covered` from the first
 * directive that needs it on; what stands before that must still match.
 *
 * Whether a file passes is never written down anywhere: this list is all that excuses one.
 */

import type { Directive } from './parser.js';

/** Something missing, by the name that reports show, and how to tell that a directive needs it. */
export interface MissingFeature {
  readonly name: string;
  readonly isNeededBy: (directive: Directive) => boolean;
}

function hasCommand(...commands: readonly string[]): (directive: Directive) => boolean {
  return (directive) => commands.includes(directive.command);
}

function hasOption(key: string, value: string): (directive: Directive) => boolean {
  return ({ command, arguments: words }) =>
    command === 'add-nodes' &&
    words.some((word) => word.key === key && word.values.includes(value));
}

export const MISSING_FEATURES: readonly MissingFeature[] = [
  { name: 'propose-conf-change', isNeededBy: hasCommand('propose-conf-change') },
  { name: 'confchange', isNeededBy: hasCommand('simple', 'enter-joint', 'leave-joint') },
  {
    name: 'disable-conf-change-validation',
    isNeededBy: hasOption('disable-conf-change-validation', 'true'),
  },
  { name: 'transfer-leadership', isNeededBy: hasCommand('transfer-leadership') },
  { name: 'read-only=lease-based', isNeededBy: hasOption('read-only', 'lease-based') },
];

/** The features that a directive needs and the core lacks. */
export function missingFeaturesOf(directive: Directive): readonly string[] {
  return MISSING_FEATURES.filter((feature) => feature.isNeededBy(directive)).map(
    (feature) => feature.name,
  );
}
