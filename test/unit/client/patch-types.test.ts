// Goal: a patch that TypeScript takes fits the metadata, and one that does not fit is an error.
// Method: types are compared when the tests are compiled; what is accepted is encoded as well.
import { describe, expect, expectTypeOf, it } from 'vitest';
import type {
  Collection,
  Metadata,
  MetadataChange,
  MetadataPatch,
} from '../../../src/client/index.js';
import { metadataBytes } from '../../../src/client/values.js';
import { decodeStruct } from '../../../src/shared/codec/struct.js';

/** An interface, which has no index; with a field of each kind. */
interface Article {
  readonly title: string;
  readonly year?: number;
  readonly tags: readonly string[];
  readonly language: 'en' | 'fr' | null;
  readonly author: Author;
  readonly chapters: readonly { readonly pages: number }[];
  readonly extra: Metadata;
}

interface Author {
  readonly name: string;
  readonly address?: { readonly city: string; readonly zip: number };
  readonly teacher?: Author;
}

type Change = MetadataChange<Article>;

const sent = (change: Change): unknown => decodeStruct(metadataBytes(change, 'metadata'));

describe('MetadataPatch', () => {
  it('takes any of the fields, also of objects, and null for each of them', () => {
    const some: Change = { title: 'One', author: { address: { city: 'Ghent' } } };
    expect(sent(some)).toEqual(some);
    const deep: Change = { author: { teacher: { teacher: { name: 'Ada' } } } };
    expect(sent(deep)).toEqual(deep);
    const none: Change = {
      title: null,
      year: null,
      tags: null,
      language: null,
      author: { name: null, address: { zip: null }, teacher: null },
      chapters: null,
      extra: null,
    };
    expect(sent(none)).toEqual(none);
    expect(sent({})).toEqual({});
    const whole: Article = {
      title: 'One',
      tags: ['a'],
      language: 'fr',
      author: { name: 'Ada' },
      chapters: [{ pages: 3 }],
      extra: { anything: { below: [1, null] } },
    };
    expect(sent(whole)).toEqual(whole);
  });

  it('refuses what does not fit', () => {
    // @ts-expect-error there is no such field
    const unknownField: Change = { colour: 'red' };
    // @ts-expect-error a string field
    const otherType: Change = { title: 1 };
    // @ts-expect-error one of two words
    const otherWord: Change = { language: 'de' };
    // @ts-expect-error in an object, too
    const nested: Change = { author: { address: { zip: '9000' } } };
    // @ts-expect-error there is no such field of the object
    const nestedField: Change = { author: { phone: 1 } };
    // @ts-expect-error a list is replaced as a whole, by one of the same type
    const listed: Change = { tags: [1] };
    // @ts-expect-error so its elements are whole, too
    const partial: Change = { chapters: [{}] };
    const all = [unknownField, otherType, otherWord, nested, nestedField, listed, partial];
    expect(all).toHaveLength(7);
  });

  it('takes whatever JSON is where the metadata have no type', () => {
    expectTypeOf<MetadataChange<Metadata>>().toEqualTypeOf<Metadata>();
    expectTypeOf<MetadataPatch>().toEqualTypeOf<MetadataPatch<Metadata>>();
    const change: MetadataPatch = { id: 'a', metadata: { a: null, b: { c: [1, { d: null }] } } };
    expect(sent({ extra: change.metadata })).toEqual({ extra: change.metadata });
  });

  it('is what a collection of the type takes', () => {
    type Patches = Parameters<Collection<Article>['patch']>[0];
    expectTypeOf<Patches>().toEqualTypeOf<readonly MetadataPatch<Article>[]>();
    const patches: Patches = [{ id: 'a', ifVersion: '7', metadata: { year: null } }];
    // @ts-expect-error there is no such field
    const others: Patches = [{ id: 'a', metadata: { colour: null } }];
    expect([...patches, ...others]).toHaveLength(2);
  });
});
