//! The table of close codes, and the delays between tries.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Backoff, afterClose, isExpiry } from '../src/backoff.js';
import { chance } from './virtual.js';

const TABLE = new URL('../../../docs/reference/close-codes.md', import.meta.url);
const OPTIONS = { minDelayMs: 200, maxDelayMs: 20_000 };

test("the documentation's table", { skip: !existsSync(TABLE) }, () => {
  const row = /^\| `(\w+)` \| (\d{4}) \| `([^`]*)` \| (\w+) \|$/gm;
  const rows = [...readFileSync(TABLE, 'utf8').matchAll(row)];
  assert.ok(rows.length > 20, `${rows.length} rows were read`);
  for (const [, reason, code, text, reconnect] of rows) {
    // This ends polls, which are no WebSockets.
    if (reason === 'answered') continue;
    const { again, waitMs } = afterClose(Number(code), text);
    const expected = { yes: ['now', 'soon', 'told'], later: ['later'], no: ['never'] }[reconnect];
    assert.ok(expected.includes(again), `${reason}: ${again}, not ${reconnect}`);
    assert.equal(again === 'told', text.includes('come back after'), reason);
    if (again === 'told') assert.equal(waitMs, 1_500);
  }
});

test("Centrifugo's codes", () => {
  for (const code of [3000, 3499, 4000, 4499]) assert.notEqual(afterClose(code, '').again, 'never');
  for (const code of [3500, 3999, 4500, 4999]) assert.equal(afterClose(code, '').again, 'never');
  for (const code of [3001, 3005, 3010, 3011]) assert.equal(afterClose(code, '').again, 'now');
  assert.equal(afterClose(3013, 'too many requests').again, 'later');
});

test('codes without a row', () => {
  assert.equal(afterClose(1000, '').again, 'never');
  for (const code of [1005, 1006, 1015]) assert.equal(afterClose(code, '').again, 'soon');
  assert.equal(afterClose(1008, 'come back after 5 ms').again, 'never');
  assert.ok(isExpiry(1008, 'the token has expired'));
  assert.ok(isExpiry(1008, 'token_expired') && isExpiry(3005, '') && !isExpiry(1008, ''));
});

/** The delays of tries that fail, each for the same reason. */
function delays(random, verdict, tries) {
  const backoff = new Backoff(OPTIONS, { now: () => 0, random: () => random });
  return Array.from({ length: tries }, () => backoff.delayMs(verdict));
}

test('delays grow to the most, with full jitter', () => {
  assert.deepEqual(delays(0, { again: 'soon' }, 3), [200, 200, 200]);
  const most = [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000];
  assert.deepEqual(delays(1, { again: 'soon' }, 7), most);
  assert.equal(delays(1, { again: 'soon' }, 2_000).at(-1), 20_000);
});

test('at once, if the host says so, is spread over a second', () => {
  assert.deepEqual(delays(0, { again: 'now' }, 2), [0, 200]);
  assert.deepEqual(delays(1, { again: 'now' }, 2), [1_000, 2_000]);
});

test('a host that has too much to do is spared', () => {
  assert.deepEqual(delays(0, { again: 'later' }, 5), [4_000, 4_000, 4_000, 4_000, 8_000]);
  assert.deepEqual(delays(1, { again: 'later' }, 5), [8_000, 8_000, 8_000, 8_000, 16_000]);
});

test('a time that was told is kept, up to the most', () => {
  assert.deepEqual(delays(0, { again: 'told', waitMs: 1_500 }, 1), [1_500]);
  assert.deepEqual(delays(1, { again: 'told', waitMs: 1_500 }, 1), [1_700]);
  assert.deepEqual(delays(0, { again: 'told', waitMs: 999_999_999 }, 1), [20_000]);
});

test('a connection that lasts is a success, one that does not is none', () => {
  let now = 0;
  const backoff = new Backoff(OPTIONS, { now: () => now, random: () => 1 });
  assert.equal(backoff.delayMs({ again: 'soon' }), 1_000);
  backoff.succeeded();
  now += 4_999;
  assert.equal(backoff.delayMs({ again: 'soon' }), 2_000);
  backoff.succeeded();
  now += 5_000;
  assert.equal(backoff.delayMs({ again: 'soon' }), 1_000);
});

test('ten thousand peers that break together do not come back together', () => {
  for (const verdict of [{ again: 'now' }, { again: 'soon' }]) {
    const perTenth = new Map();
    const random = chance(1);
    for (let peer = 0; peer < 10_000; peer += 1) {
      const backoff = new Backoff(OPTIONS, { now: () => 0, random });
      const tenth = Math.floor(backoff.delayMs(verdict) / 100);
      perTenth.set(tenth, (perTenth.get(tenth) ?? 0) + 1);
    }
    assert.ok(Math.max(...perTenth.values()) < 1_500, verdict.again);
  }
});
