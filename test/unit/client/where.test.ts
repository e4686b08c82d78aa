// Goal: a filter that TypeScript takes fits the metadata, and one that does not fit is an error.
// Method: types are compared when the tests are compiled; what is accepted is parsed as well.
import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  type Collection,
  Flotilla,
  type Metadata,
  type MetadataShape,
  type Query,
  type Where,
  type WhereOperators,
} from '../../../src/client/index.js';
import { filterBytes } from '../../../src/client/where.js';
import { decodeFilter } from '../../../src/shared/codec/filter-bytes.js';

type Article = {
  title: string;
  year?: number;
  draft: boolean;
  tags: string[];
  scores: (number | null)[];
  language: 'en' | 'fr';
  author: { name: string; address: { city: string } };
  chapters: { pages: number }[];
  extra: Metadata;
};

/** An interface has no index, unlike a type of the same fields. */
interface Note {
  readonly year: number;
  readonly tags?: readonly string[];
  readonly author: NoteAuthor;
}

interface NoteAuthor {
  readonly name: string;
}

const parsed = <M>(where: Where<M>): unknown => decodeFilter(filterBytes<M>(where, 'filter'), []);

describe('Where', () => {
  it('knows the fields, those of objects and lists by dotted paths', () => {
    type Fields = Exclude<keyof Where<Article>, '$and' | '$or' | '$not'>;
    expectTypeOf<'author.name' | 'author.address.city' | 'chapters.pages'>().toExtend<Fields>();
    expectTypeOf<'author.phone'>().not.toExtend<Fields>();
    expectTypeOf<Where<Article>['title']>().toEqualTypeOf<
      string | WhereOperators<string> | undefined
    >();
    expectTypeOf<Where<Article>['year']>().toEqualTypeOf<
      number | WhereOperators<number> | undefined
    >();
    expectTypeOf<Where<Article>['chapters.pages']>().toEqualTypeOf<
      number | WhereOperators<number> | undefined
    >();
    expectTypeOf<Where<Article>['scores']>().toEqualTypeOf<
      number | WhereOperators<number> | undefined
    >();
    const where: Where<Article> = {
      title: 'One',
      year: { $gte: 2020, $lt: 2030, $in: [2021], $not: { $eq: 2022 } },
      draft: false,
      tags: { $nin: ['a', 'b'] },
      language: { $ne: 'fr' },
      'author.address.city': 'Ghent',
      'chapters.pages': { $gt: 10 },
      author: { $exists: true },
      'extra.anything.below': 1,
      $or: [{ tags: 'x' }, { $not: { year: 1 } }],
      $and: [],
    };
    expect(parsed(where)).toMatchObject({ kind: 'and' });
  });

  it('refuses what does not fit', () => {
    // @ts-expect-error there is no such field
    const unknownField: Where<Article> = { colour: 'red' };
    // @ts-expect-error a string field
    const otherType: Where<Article> = { title: 1 };
    // @ts-expect-error one of two words
    const otherWord: Where<Article> = { language: 'de' };
    // @ts-expect-error numbers only
    const otherBound: Where<Article> = { year: { $gt: '2020' } };
    // @ts-expect-error booleans have no order
    const orderedBoolean: Where<Article> = { draft: { $gt: true } };
    // @ts-expect-error there is no such operator
    const otherOperator: Where<Article> = { year: { $near: 1 } };
    // @ts-expect-error inside a group, too
    const nested: Where<Article> = { $or: [{ $not: { title: 1 } }] };
    // @ts-expect-error an object is not compared as a whole
    const wholeObject: Where<Article> = { author: { name: 'Ada' } };
    const all = [unknownField, otherType, otherWord, otherBound, orderedBoolean, otherOperator];
    expect([...all, nested, wholeObject]).toHaveLength(8);
  });

  it('takes any path where the metadata have no type', () => {
    const where: Where<Metadata> = { a: 1, 'b.c': { $in: ['x', 'y'] }, $or: [{ d: true }] };
    expect(parsed(where)).toMatchObject({ kind: 'and' });
    // @ts-expect-error no value is null
    const nothing: Where<Metadata> = { a: null };
    expect(() => parsed(nothing)).toThrow(/^filter\.a is null/);
    const computed: Where<Metadata> = { [`field-${1}`]: { $gte: 1 } };
    expect(parsed(computed)).toMatchObject({ path: 'field-1' });
    const fields: Where<Metadata> = { gt: 3, $not: { colour: 'red' }, $and: [{ not: { $lt: 1 } }] };
    expect(parsed(fields)).toMatchObject({ kind: 'and' });
  });

  it('refuses operators that lack their dollar, or are none, also where there is no type', () => {
    // @ts-expect-error it is called $gt
    const bare: Where<Metadata> = { year: { gt: 3 } };
    expect(() => parsed(bare)).toThrow(/^filter\.year\.gt is no operator \(did you mean \$gt\?\)/);
    // @ts-expect-error in a group, too
    const nested: Where<Metadata> = { $or: [{ a: 1 }, { $not: { year: { in: [3] } } }] };
    expect(() => parsed(nested)).toThrow(/did you mean \$in\?/);
    // @ts-expect-error one of the two is right
    const mixed: Where<Metadata> = { year: { $gte: 3, lt: 5 } };
    expect(() => parsed(mixed)).toThrow(/did you mean \$lt\?/);
    // @ts-expect-error a group of filters
    const group: Where<Metadata> = { $or: { year: 3 } };
    expect(() => parsed(group)).toThrow(/^filter\.\$or is an object, not a list of filters/);
    // @ts-expect-error and none such where there is a type
    const typed: Where<Article> = { year: { gt: 3 } };
    expect(() => parsed(typed)).toThrow(/did you mean \$gt\?/);
  });

  it('knows the fields of an interface, and collections of one', () => {
    const where: Where<Note> = { year: { $gt: 2020 }, tags: 'a', 'author.name': 'Ada' };
    expect(parsed(where)).toMatchObject({ kind: 'and' });
    // @ts-expect-error there is no such field
    const other: Where<Note> = { colour: 'red' };
    expect(other).toBeDefined();
    const flotilla = new Flotilla('localhost:1');
    const notes = flotilla.collection<Note>('notes');
    expectTypeOf(notes).toEqualTypeOf<Collection<Note>>();
    expectTypeOf<Parameters<typeof notes.upsert>[0][number]['metadata']>().toEqualTypeOf<
      Note | undefined
    >();
    expectTypeOf<Awaited<ReturnType<typeof notes.fetch>>[number]['metadata']>().toEqualTypeOf<
      Note | undefined
    >();
    expectTypeOf(flotilla.collection('any')).toEqualTypeOf<Collection<Metadata>>();
    const shaped = <M extends object & MetadataShape<M>>(name: string) => {
      return flotilla.collection<M>(name);
    };
    expectTypeOf(shaped<Note>('notes')).toEqualTypeOf<Collection<Note>>();
    const known = <M extends Metadata>(name: string) => flotilla.collection<M>(name);
    expectTypeOf(known<{ a: number }>('notes')).toEqualTypeOf<Collection<{ a: number }>>();
    // @ts-expect-error JSON has no dates
    flotilla.collection<{ at: Date }>('notes');
    // @ts-expect-error metadata are an object
    flotilla.collection<string>('notes');
  });

  it('is what a collection of the type takes', () => {
    type Options = NonNullable<Parameters<Collection<Article>['count']>[0]>;
    expectTypeOf<Options['filter']>().toEqualTypeOf<Where<Article> | undefined>();
    expectTypeOf<Query<Article>['filter']>().toEqualTypeOf<Where<Article> | undefined>();
    expectTypeOf<Parameters<Collection<Article>['search']>[0]>().toEqualTypeOf<Query<Article>>();
  });
});
