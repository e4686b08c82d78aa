/** Filters as TypeScript types: what can be asked of metadata of a known shape. */
import { encodeFilter } from '../shared/codec/filter-bytes.js';
import type { JsonObject } from '../shared/codec/struct.js';
import { parseFilter } from '../shared/filter.js';

type Scalar = string | number | boolean;

/** One level less; types may contain themselves, and must come to an end. */
type Level = [never, 0, 1, 2, 3, 4, 5, 6];

/** What a list stands for: its elements, those of lists in it too. */
type ElementOf<T, Left extends number = 4> = T extends readonly (infer Element)[]
  ? [Left] extends [never]
    ? never
    : ElementOf<Element, Level[Left]>
  : T;

/** The strings, numbers and booleans that may stand in a field of type `T`. */
type ScalarIn<T> = Extract<ElementOf<NonNullable<T>>, Scalar>;

/** The objects that may. */
type ObjectIn<T> = Exclude<Extract<ElementOf<NonNullable<T>>, object>, readonly unknown[]>;

/** Conditions on a field; several must all hold. docs/filters.md has their meaning. */
export interface WhereOperators<T extends Scalar> {
  /** Some value in the field is this one. */
  readonly $eq?: T;
  /** None is; also where the field is missing. */
  readonly $ne?: T;
  readonly $gt?: Exclude<T, boolean>;
  readonly $gte?: Exclude<T, boolean>;
  readonly $lt?: Exclude<T, boolean>;
  readonly $lte?: Exclude<T, boolean>;
  /** Some value in the field is among these. */
  readonly $in?: readonly T[];
  /** None is; also where the field is missing. */
  readonly $nin?: readonly T[];
  /** Whether there is a value that is not null. */
  readonly $exists?: boolean;
  /** The conditions do not all hold; also where the field is missing. */
  readonly $not?: WhereOperators<T>;
}

type Condition<T extends Scalar> = [T] extends [never]
  ? { readonly $exists?: boolean }
  : T | WhereOperators<T>;

/**
 * A pair of path and type for each field, and for those of objects in it, a few levels down. Where
 * the fields of an object are not known, every path below it will do.
 */
type FieldsOf<M, Prefix extends string, Left extends number> = [Left] extends [never]
  ? never
  : string extends keyof M
    ? readonly [`${Prefix}${string}`, Scalar]
    : {
        [Name in keyof M & string]-?:
          | readonly [`${Prefix}${Name}`, ScalarIn<M[Name]>]
          | FieldsOf<ObjectIn<M[Name]>, `${Prefix}${Name}.`, Level[Left]>;
      }[keyof M & string];

/** Of metadata whose fields are not known. */
type AnyWhere = AnyFields & AnyGroups;

/** Groups of filters are values too, because nothing but their keys sets them apart. */
interface AnyFields {
  readonly [path: string]: Scalar | AnyOperators | AnyNegated | readonly AnyWhere[];
}

interface AnyGroups {
  readonly $and?: readonly AnyWhere[];
  readonly $or?: readonly AnyWhere[];
  readonly $not?: AnyNegated;
}

/**
 * What `$not` takes. As the value of a field it would be operators that lack their dollar: these
 * names are no fields here. In a list, as in `$not: { $and: [{ in: 1 }] }`, they are.
 */
type AnyNegated = AnyWhere & { readonly [Word in WithoutDollar<keyof AnyOperators>]?: never };

type AnyOperators = WhereOperators<Scalar>;

type WithoutDollar<Word> = Word extends `$${infer Rest}` ? Rest : never;

type TypedWhere<M> = {
  readonly [Field in FieldsOf<M, '', 6> as Field[0]]?: Condition<Field[1]>;
} & {
  readonly $and?: readonly Where<M>[];
  readonly $or?: readonly Where<M>[];
  readonly $not?: Where<M>;
};

/**
 * A filter on metadata of type `M`. Several keys must all hold; a bare value stands for `$eq`;
 * fields of objects are named by dotted paths, and a list stands for its elements.
 *
 * @example
 *     const where: Where<{ year: number; tags: string[]; author: { name: string } }> = {
 *       year: { $gte: 2020, $lt: 2030 },
 *       'author.name': 'Ada',
 *       $or: [{ tags: 'draft' }, { tags: { $exists: false } }],
 *     };
 */
export type Where<M> = string extends keyof M ? AnyWhere : TypedWhere<M>;

/**
 * The filter's bytes. Throws INVALID_REQUEST and LIMIT_EXCEEDED for what no collection takes, with
 * the place as `field`; the server knows the declared fields too.
 */
export function filterBytes<M>(where: Where<M>, field: string): Uint8Array {
  const json = where as JsonObject;
  parseFilter(json, [], field);
  return encodeFilter(json);
}
