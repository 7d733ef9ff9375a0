//! Positions: what they become with each outcome of a subscription.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cursor } from '../src/cursor.js';

const KEPT = { recoverable: true, positioned: true };

/** A cursor that has read up to a position. */
function at(offset, epoch) {
  const cursor = new Cursor();
  cursor.begin('a', { ...KEPT, offset, epoch });
  return cursor;
}

/** The position after an outcome whose publications were delivered. */
function after(cursor, result) {
  const delivered = [];
  const { missed } = cursor.begin('a', { ...KEPT, ...result });
  for (const pub of result.publications ?? []) if (cursor.accept(pub)) delivered.push(pub.offset);
  cursor.caughtUp(result);
  return [cursor.position.offset, cursor.position.epoch, delivered, missed];
}

const pubs = (...offsets) => offsets.map((offset) => ({ offset }));

test('a new subscription is where the channel is', () => {
  assert.equal(new Cursor().position, undefined);
  assert.deepEqual(new Cursor().request, {});
  assert.deepEqual(at(7, 'e').position, { offset: 7, epoch: 'e' });
  assert.deepEqual(at(7, 'e').request, { recover: true, offset: 7, epoch: 'e' });
  assert.deepEqual(at(undefined, 'e').position, { offset: 0, epoch: 'e' });
});

test('a recovery, with the offset that was asked for or the last one', () => {
  const recovered = true;
  const publications = pubs(8, 9);
  for (const offset of [7, 9]) {
    assert.deepEqual(after(at(7, 'e'), { epoch: 'e', offset, recovered, publications }), [9, 'e', [8, 9], false]);
  }
  // Some that a filter keeps back are not asked for again.
  assert.deepEqual(after(at(7, 'e'), { epoch: 'e', offset: 12, recovered }), [12, 'e', [], false]);
  const filtered = { epoch: 'e', offset: 12, recovered, publications: pubs(9) };
  assert.deepEqual(after(at(7, 'e'), filtered), [12, 'e', [9], false]);
  // What is known is not new.
  const more = { epoch: 'e', offset: 9, recovered, publications: pubs(6, 7, 8, 9) };
  assert.deepEqual(after(at(7, 'e'), more), [9, 'e', [8, 9], false]);
});

test('a recovery of an epoch that was not known', () => {
  const cursor = new Cursor({ offset: 7 });
  assert.deepEqual(cursor.request, { recover: true, offset: 7, epoch: '' });
  const result = { epoch: 'e', offset: 7, recovered: true, publications: pubs(7, 8) };
  assert.deepEqual(after(cursor, result), [8, 'e', [8], false]);
});

test('what cannot be recovered begins where the channel is', () => {
  assert.deepEqual(after(at(7, 'e'), { epoch: 'e', offset: 20 }), [20, 'e', [], true]);
  assert.deepEqual(after(at(7, 'e'), { epoch: 'f', offset: 3 }), [3, 'f', [], true]);
  assert.deepEqual(after(at(7, 'e'), { epoch: 'f', offset: 30 }), [30, 'f', [], true]);
  assert.deepEqual(after(at(7, 'e'), { epoch: 'f' }), [0, 'f', [], true]);
  assert.deepEqual(after(at(7, 'e'), { epoch: 'e', offset: 2 }), [2, 'e', [], true]);
  // With publications all the same, they are new.
  assert.deepEqual(after(at(7, 'e'), { epoch: 'f', offset: 9, publications: pubs(8, 9) }), [9, 'f', [8, 9], true]);
  assert.deepEqual(after(at(7, 'e'), { epoch: 'e', offset: 3, publications: pubs(2, 3) }), [3, 'e', [2, 3], true]);
  const later = { epoch: 'f', offset: 9, publications: pubs(5) };
  assert.deepEqual(after(at(7, 'e'), later), [9, 'f', [5], true]);
});

test('before the first publication is delivered, the position is before it', () => {
  const cursor = at(7, 'e');
  cursor.begin('a', { ...KEPT, epoch: 'f', offset: 9, publications: pubs(8, 9) });
  assert.deepEqual(cursor.position, { offset: 7, epoch: 'f' });
  const fresh = new Cursor();
  fresh.begin('a', { ...KEPT, epoch: 'e', offset: 9, publications: pubs(8, 9) });
  assert.deepEqual(fresh.position, { offset: 7, epoch: 'e' });
});

test('a channel that cannot recover is not asked to', () => {
  const cursor = at(7, 'e');
  cursor.begin('a', { positioned: true, epoch: 'e', offset: 9 });
  assert.deepEqual(cursor.request, {});
  const { missed, wasRecovering } = cursor.begin('a', { epoch: 'e', offset: 3 });
  assert.deepEqual([missed, wasRecovering, cursor.position.offset], [true, false, 3]);
});

test('a state that is invalid names no epoch that there is', () => {
  const cursor = at(7, 'e');
  cursor.invalidate();
  assert.deepEqual(cursor.request, { recover: true, offset: 0, epoch: '_' });
  assert.deepEqual(after(cursor, { epoch: 'e', offset: 9 }), [9, 'e', [], true]);
});
