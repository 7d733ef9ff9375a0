//! The page `browser.html` in a real Chromium, against a host that is killed,
//! restarted, deployed to, and away until the network is back. Run by
//! `scripts/js-client.sh browser`; OPENLINE_SKIP_BROWSER=1 leaves it out.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';

import { Host } from './host.js';
import { real, serve } from './server.js';

const PATIENCE_MS = 60_000;
const ASK_AGAIN_MS = 20;

function program(names) {
  for (const folder of process.env.PATH.split(delimiter)) {
    for (const name of names) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Not this one.
      }
    }
  }
  return undefined;
}

const driver = program(['chromedriver', 'chromium.chromedriver']);
const chromium = program(['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']);

/** A browser, by the WebDriver protocol. */
class Browser {
  static async start() {
    const folder = mkdtempSync(join(tmpdir(), 'openline-page-'));
    const env = { ...process.env, TMPDIR: folder };
    const child = spawn(driver, ['--port=0'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    const port = await new Promise((resolve, reject) => {
      let said = '';
      child.stdout.on('data', (more) => {
        said += more;
        const found = /started successfully on port (\d+)/.exec(said);
        if (found) resolve(found[1]);
      });
      child.on('exit', () => reject(new Error(`chromedriver ended: ${said}`)));
    });
    const browser = Object.assign(new Browser(), { child, folder, base: `http://127.0.0.1:${port}/session` });
    const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'];
    args.push('--disable-background-networking', '--disable-component-update', '--disable-sync');
    args.push(`--user-data-dir=${join(folder, 'data')}`);
    const alwaysMatch = { browserName: 'chrome', 'goog:chromeOptions': { binary: chromium, args } };
    const { sessionId } = await browser.ask('', { capabilities: { alwaysMatch } });
    browser.base += `/${sessionId}`;
    return browser;
  }

  async ask(path, body, method = 'POST') {
    const response = await fetch(this.base + path, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${value.message}`);
    return value;
  }

  goto(url) {
    return this.ask('/url', { url });
  }

  script(body) {
    return this.ask('/execute/sync', { script: body, args: [] });
  }

  async until(what, body) {
    const end = performance.now() + PATIENCE_MS;
    while (!(await this.script(`return ${body}`))) {
      if (performance.now() > end) {
        const { errors, events, data, state } = await this.script('return { ...page, client: 0, subscription: 0, state: page.state }');
        assert.fail(`waited in vain for ${what}: ${JSON.stringify({ errors, events, data, state })}`);
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }

  async end() {
    await this.ask('', undefined, 'DELETE').catch(() => {});
    this.child.kill();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

const numbers = (count) => Array.from({ length: count }, (_, index) => index + 1);

test('a page whose host is killed, restarted and deployed to', { timeout: 300_000 }, async () => {
  assert.ok(driver && chromium, '`scripts/browser.sh` installs Chromium and chromedriver on Debian');
  const files = await serve(new Host(real));
  const host = new Host(real, { ping: 2 });
  let server = await serve(host);
  const { port } = server;
  const browser = await Browser.start();
  try {
    const options = encodeURIComponent(JSON.stringify({ minDelayMs: 50, maxDelayMs: 500 }));
    const url = encodeURIComponent(`ws://127.0.0.1:${port}/chat`);
    await browser.goto(`http://127.0.0.1:${files.port}/test/browser.html?url=${url}&options=${options}`);
    await browser.until('the subscription', 'page.state === "connected subscribed"');
    let number = 0;
    const publish = (count) => {
      for (let index = 0; index < count; index += 1) host.publish('numbers', ++number);
    };
    publish(10);
    await browser.until('the first', 'page.data.length === 10');
    for (let round = 0; round < 3; round += 1) {
      await server.kill();
      publish(10);
      await browser.until('the break', 'page.client.state !== "connected"');
      server = await serve(host, port);
      publish(5);
      await browser.until('what was missed', `page.data.length === ${number}`);
    }
    host.close(1012, 'redeployed: come back after 100 ms');
    publish(5);
    await browser.until('what was missed in a deploy', `page.data.length === ${number}`);

    await server.kill();
    publish(1);
    host.evict('numbers');
    server = await serve(host, port);
    await browser.until('the word that something is missing', 'page.missed === 1');
    publish(1);
    await browser.until('what comes after it', `page.data.at(-1) === ${number}`);
    assert.deepEqual(await browser.script('return page.data'), numbers(number).filter((each) => each !== number - 1));
    assert.equal(await browser.script('return page.missed'), 1);
    assert.ok((await browser.script('return page.recovered')) >= 4);

    // The network is back long before the next try would be.
    await browser.script('Object.assign(page.client._options, { minDelayMs: 6e5, maxDelayMs: 6e5 })');
    await server.kill();
    await browser.until('the break', 'page.client.state === "connecting"');
    server = await serve(host, port);
    await browser.script('page.client._options.minDelayMs = 1; window.dispatchEvent(new Event("online"))');
    await browser.until('the connection', 'page.state === "connected subscribed"');
    host.close(3503, 'force disconnect');
    await browser.until('the end', 'page.client.state === "disconnected"');
  } finally {
    await browser.end();
    await server.kill();
    await files.kill();
  }
});
