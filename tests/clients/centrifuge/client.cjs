// Centrifugo's own client in Node, driven by lines of JSON: `[command, …]`. It
// says what happens as lines of JSON, too.
const [url] = process.argv.slice(2);
const { Centrifuge } = require('centrifuge');
const tell = (what, value = null) => console.log(JSON.stringify([what, value]));

let token = '';
const client = new Centrifuge(url, {
    websocket: require('ws').WebSocket,
    getToken: async () => {
        tell('token');
        return token;
    },
    minReconnectDelay: 50,
    maxReconnectDelay: 200,
});
client.on('connected', ({ client }) => tell('connected', client));
client.on('connecting', ({ code, reason }) => tell('connecting', [code, reason]));
client.on('disconnected', ({ code, reason }) => tell('disconnected', [code, reason]));
client.on('message', ({ data }) => tell('message', data));
client.on('error', ({ error }) => tell('error', error));

const commands = {
    token: (given) => {
        token = given;
        tell('given');
    },
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
    subscribe: (channel, options) => {
        const subscription = client.newSubscription(channel, options);
        subscription.on('publication', ({ data, offset }) => tell('publication', [data, offset ?? 0]));
        subscription.on('subscribed', ({ recovered, wasRecovering }) => {
            tell('subscribed', [wasRecovering, recovered]);
        });
        subscription.on('unsubscribed', ({ code }) => tell('unsubscribed', code));
        subscription.on('error', ({ error }) => tell('refused', error.code));
        subscription.on('join', ({ info }) => tell('join', info.user));
        subscription.on('leave', ({ info }) => tell('leave', info.user));
        subscription.subscribe();
    },
    publish: (channel, data) => client.publish(channel, data),
    send: (data) => client.send(data),
    presence: async (channel) => {
        const { clients } = await client.presence(channel);
        return Object.values(clients).map(({ user }) => user);
    },
    presenceStats: async (channel) => {
        const { numClients, numUsers } = await client.presenceStats(channel);
        return [numClients, numUsers];
    },
    history: async (channel, options) => {
        const { publications, offset } = await client.history(channel, options);
        return [publications.map(({ data }) => data), offset];
    },
    rpc: (method, data) => client.rpc(method, data),
};

const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', async (line) => {
    const [name, ...rest] = JSON.parse(line);
    try {
        const answer = await commands[name](...rest);
        tell('done', answer ?? null);
    } catch (error) {
        tell('failed', error.code ?? String(error));
    }
});
lines.on('close', () => process.exit());
