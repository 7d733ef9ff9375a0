// The two samples of PushFlo's article, built as applications are, and run word for
// word: only their keys are filled in, and `api.pushflo.dev` is the host under test,
// as if DNS said so. Driven by lines of JSON: `[command, …]`.
//
// Arguments: the folder with the SDK, the port of the host, and the two keys.
const [folder, port, publishKey, secretKey] = process.argv.slice(2);
const { readFileSync } = require('fs');
const tls = require('tls');
const esbuild = require('esbuild');
globalThis.WebSocket ??= require('ws').WebSocket;
const tell = (what, value = null) => console.log(JSON.stringify([what, value]));

const connect = tls.connect;
tls.connect = (options, ...rest) => {
    const name = options.host;
    if (!name.endsWith('.pushflo.dev')) return connect(options, ...rest);
    // Its certificate is checked for the name that the sample has.
    return connect({ ...options, host: '127.0.0.1', port: Number(port), servername: name }, ...rest);
};

function built(sample, format) {
    const text = readFileSync(`${__dirname}/${sample}`, 'utf8')
        .replace('YOUR_PUBLISH_KEY', publishKey)
        .replace('YOUR_KEY', secretKey);
    const stdin = { contents: text, loader: 'ts', resolveDir: folder };
    const options = { stdin, bundle: true, write: false, format, platform: 'browser' };
    return esbuild.buildSync(options).outputFiles[0].text;
}

globalThis.showNotification = (data) => tell('notification', data);
globalThis.processOrder = async (request) => ({ order: await request.json() });

const commands = {
    // What a page loads.
    page: () => built('article-client.js', 'iife'),
    client: () => new Function(built('article-client.js', 'iife'))(),
    server: async () => {
        const module = { exports: {} };
        new Function('module', built('article-server.ts', 'cjs'))(module);
        const url = 'https://shop.example/api/orders';
        const order = new Request(url, { method: 'POST', body: JSON.stringify({ number: 1 }) });
        const answer = await module.exports.POST(order);
        return answer.json();
    },
};

const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', async (line) => {
    const [name, ...rest] = JSON.parse(line);
    try {
        tell('done', (await commands[name](...rest)) ?? null);
    } catch (error) {
        tell('failed', String(error));
    }
});
lines.on('close', () => process.exit());
