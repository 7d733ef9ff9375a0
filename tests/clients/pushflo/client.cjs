// PushFlo's own SDK in Node, driven by lines of JSON: `[command, …]`. It says what
// happens as lines of JSON, too.
//
// Arguments: the folder with the SDK, the address of the host, and its keys.
const [folder, host, publishKey, secretKey, managementKey] = process.argv.slice(2);
const { createRequire } = require('module');
const installed = createRequire(`${folder}/`);
const { PushFloClient } = installed('@pushflodev/sdk');
const { PushFloServer } = installed('@pushflodev/sdk/server');
globalThis.WebSocket ??= require('ws').WebSocket;
const tell = (what, value = null) => console.log(JSON.stringify([what, value]));

const baseUrl = `http://${host}`;
const server = new PushFloServer({ secretKey, baseUrl, retryAttempts: 1 });
const console_ = new PushFloServer({ secretKey: managementKey, consoleUrl: baseUrl, retryAttempts: 1 });
let client;

const commands = {
    // A key that is not the usual one, and how long it waits for a pong.
    client: (key, heartbeatInterval) => {
        client = new PushFloClient({
            publishKey: key ?? publishKey,
            baseUrl,
            heartbeatInterval,
            reconnectDelay: 50,
            maxReconnectDelay: 200,
        });
        client.on('connected', ({ clientId }) => tell('connected', clientId));
        client.on('disconnected', (reason) => tell('disconnected', reason));
        client.on('error', ({ name, code }) => tell('error', [name, code]));
    },
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
    subscribe: (channel) => {
        client.subscribe(channel, {
            onMessage: ({ channel, eventType, content, id }) => {
                tell('message', [channel, eventType, content, id]);
            },
            onSubscribed: () => tell('subscribed', channel),
        });
    },
    unsubscribe: (channel) => client.unsubscribe(channel),
    // Its reconnects do not subscribe again: applications do, where it says so.
    resubscribe: (channel) => {
        client.on('connected', () => commands.subscribe(channel));
    },
    // Whether it is still on the same connection after this time.
    stays: async (ms) => {
        const { clientId } = client;
        await new Promise((resolve) => setTimeout(resolve, ms));
        return client.connectionState === 'connected' && client.clientId === clientId;
    },
    publish: (channel, content, options) => server.publish(channel, content, options),
    history: (channel, options) => server.getMessageHistory(channel, options),
    list: (options) => console_.listChannels(options),
    create: (input) => console_.createChannel(input),
    get: (slug) => console_.getChannel(slug),
    update: (slug, input) => console_.updateChannel(slug, input),
    delete: (slug) => console_.deleteChannel(slug),
    // What the secret key may not do.
    createAsServer: (input) => new PushFloServer({ secretKey, consoleUrl: baseUrl }).createChannel(input),
    // As the article does: no type, so `fetch` says `text/plain`.
    fetch: async (body) => {
        const answer = await fetch(`${baseUrl}/api/v1/publish`, {
            method: 'POST',
            headers: { Authorization: `Bearer ${secretKey}` },
            body: JSON.stringify(body),
        });
        return [answer.status, await answer.json()];
    },
};

const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', async (line) => {
    const [name, ...rest] = JSON.parse(line);
    try {
        tell('done', (await commands[name](...rest)) ?? null);
    } catch (error) {
        tell('failed', [error.name, error.code ?? String(error)]);
    }
});
lines.on('close', () => process.exit());
