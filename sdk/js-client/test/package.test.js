//! The package as npm packs it: its files, its names, what it weighs, and that a
//! program which installs it can use it.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Without comments and indentation; a minifier leaves less. */
const STRIPPED_GZIP_BYTES_MAX = 11 << 10;
const hasNpm = spawnSync('npm', ['--version']).status === 0;
const sources = readdirSync(join(ROOT, 'src')).map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'));

test('what it weighs', () => {
  const stripped = sources.map((text) =>
    text.replace(/^\s*\/\*\*[\s\S]*?\*\//gm, '').replace(/^\s*\/\/.*$/gm, '').replace(/^\s+/gm, ''),
  );
  const bytes = gzipSync(stripped.join(''), { level: 9 }).length;
  console.log(`${bytes} bytes compressed, without a minifier`);
  assert.ok(bytes <= STRIPPED_GZIP_BYTES_MAX, `${bytes} bytes`);
});

test('sources say first what they are, and stay one thing', () => {
  for (const text of sources) {
    assert.match(text, /^\/\/! /);
    assert.ok(text.split('\n').length <= 600);
  }
});

test('it depends on nothing, and its lock names no host', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.equal(manifest.dependencies, undefined);
  assert.equal(manifest.sideEffects, false);
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
  assert.ok(!lock.includes('://'));
  const options = readFileSync(join(ROOT, 'src/options.js'), 'utf8');
  assert.ok(options.includes(`version: '${manifest.version}'`), 'the client says its version');
});

test('a program that installs the package', { skip: hasNpm ? false : 'there is no npm' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'openline-package-'));
  try {
    const pack = ['pack', '--json', '--loglevel=error', '--pack-destination', folder];
    const packed = JSON.parse(execFileSync('npm', pack, { cwd: ROOT, encoding: 'utf8' }));
    const { filename, files } = Object.values(packed)[0];
    const names = files.map(({ path }) => path).sort();
    const own = readdirSync(join(ROOT, 'src')).map((name) => `src/${name}`);
    assert.deepEqual(names, ['LICENSE', 'README.md', 'package.json', ...own, 'types/index.d.ts'].sort());
    const installed = join(folder, 'node_modules/@openline/client');
    mkdirSync(installed, { recursive: true });
    execFileSync('tar', ['-xzf', join(folder, filename), '--strip-components=1', '-C', installed]);
    const program = join(folder, 'program.mjs');
    writeFileSync(
      program,
      `import { Client, ClientError, codes } from '@openline/client';
       try {
         new Client('not an address', { websocket: class {} });
       } catch (error) {
         console.log(error instanceof ClientError && error.code === codes.BAD_CONFIGURATION);
       }`,
    );
    assert.equal(execFileSync('node', [program], { encoding: 'utf8' }), 'true\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
