/** Goal: show that a run depends on its seed alone. Method: everything else throws meanwhile. */

interface Ban {
  readonly owner: object;
  readonly name: string;
}

const BANNED: readonly Ban[] = [
  { owner: globalThis, name: 'setTimeout' },
  { owner: globalThis, name: 'setInterval' },
  { owner: Date, name: 'now' },
  { owner: Math, name: 'random' },
  { owner: performance, name: 'now' },
  { owner: AbortSignal, name: 'timeout' },
  { owner: crypto, name: 'randomUUID' },
  { owner: crypto, name: 'getRandomValues' },
];

/** Runs `work` without real clocks, timers and randomness; using one of them rejects. */
export async function bannedRealTime<T>(work: () => Promise<T>): Promise<T> {
  const used: string[] = [];
  const restore = BANNED.map(({ owner, name }) => {
    const before = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, {
      configurable: true,
      value: () => {
        used.push(name);
        throw new Error(`${name} is used: take it from the Environment`);
      },
    });
    return (): void => {
      if (before === undefined) Reflect.deleteProperty(owner, name);
      else Object.defineProperty(owner, name, before);
    };
  });
  let result: T;
  try {
    result = await work();
  } finally {
    for (const undo of restore) undo();
  }
  if (used.length > 0) throw new Error(`used from outside: ${[...new Set(used)].join(', ')}`);
  return result;
}
