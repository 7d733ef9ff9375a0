// What users may write, and what they may not; and that the declarations are
// those of the source. Read by the compiler alone: `npm run types`.

import { Client, ClientError, Subscription, codes } from '@openline/client';
import type { Member, Position, Publication } from '@openline/client';
import * as source from '../src/index.js';

interface Price {
  cents: number;
}

const client = new Client('wss://host.example/chat', {
  getToken: async () => 'token',
  data: { nested: [1, null, { deep: true }] },
  queueMax: 10,
});

const off: () => void = client.on('connected', ({ client: id, data }) => {
  const name: string = id;
  // @ts-expect-error: nobody knows what the host says
  const text: string = data;
});
client.on('disconnected', ({ code, error }) => {
  const temporary: boolean | undefined = error?.temporary;
  const number: number = code;
});
// @ts-expect-error: there is no such event
client.on('conected', () => {});

const prices = client.subscribe<Price>('prices', {
  since: { offset: 1, epoch: 'e' },
  filter: { op: 'and', nodes: [{ key: 'kind', cmp: 'eq', val: 'x' }, { key: 'a', cmp: 'ex' }] },
  onPublication: ({ data, offset }) => {
    const cents: number = data.cents;
    const position: number | undefined = offset;
  },
  onSubscribed: ({ missed, position }) => {
    const kept: Position | undefined = position;
    const reload: boolean = missed;
  },
});
prices.on('join', ({ channel, client: id, user }) => [channel, id, user]);
const state: 'subscribing' | 'subscribed' | 'unsubscribed' = prices.state;
// @ts-expect-error: a comparison of a list needs a list
client.subscribe('x', { filter: { key: 'a', cmp: 'in', val: 'x' } });
// @ts-expect-error: only clients make subscriptions
new Subscription();
// @ts-expect-error: a state is read only
client.state = 'connected';
// @ts-expect-error: functions cannot be sent
client.publish('a', () => {});
// @ts-expect-error: nor can nothing
client.send(undefined);
// @ts-expect-error: there is no such option
new Client('wss://h/', { retries: 3 });

async function all() {
  for await (const publication of prices) {
    const typed: Publication<Price> = publication;
  }
  const { publications, position } = await prices.history({ limit: -1, reverse: true });
  const first: number | undefined = publications[0]?.data.cents;
  const members: Member[] = await client.presence('prices');
  const { clients, users } = await prices.presenceStats();
  const answer = await client.rpc<{ ok: boolean }>('check', { id: clients + users });
  const ok: boolean = answer.ok;
  await client.publish('prices', { cents: 1, at: position.offset });
  try {
    await client.ready(1_000);
  } catch (error) {
    if (error instanceof ClientError && error.code === codes.TIMEOUT) return error.hint;
  }
  return [ok, first, members.length, state, off];
}
void all;

new Client(async () => new URL('wss://h/'), { websocket: WebSocket });

// The source has what is declared.
const ofSource: {
  Client: new (...rest: any[]) => Omit<Client, never>;
  ClientError: new (...rest: any[]) => Omit<ClientError, never>;
  codes: typeof codes;
} = source as any;
type Members<T> = { [Name in keyof T as Name extends symbol ? never : Name]: unknown };
const members: Members<Client> = {} as source.Client;
const ofSubscription: Members<Subscription> = {} as source.Subscription;
const ofError: Members<ClientError> = {} as source.ClientError;
const ofCodes: Members<typeof codes> = {} as typeof source.codes;
const names: Record<keyof typeof source, unknown> = { Client, ClientError, Subscription, codes };
void [ofSource, members, ofSubscription, ofError, ofCodes, names];
