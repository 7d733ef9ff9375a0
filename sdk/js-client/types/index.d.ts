/** What can travel: any value that JSON has. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

/** Where a channel has been read up to. Keep it, and give it as `since`. */
export interface Position {
  /** The number of the last publication; the next one has a higher one. */
  offset: number;
  /** The life of the channel that the offset counts in. */
  epoch: string;
}

/** A connection of a channel, as others see it. */
export interface Member {
  /** The host's name of the connection. */
  client: string;
  /** The user; empty if there is none. */
  user: string;
  /** What the host knows of the connection. */
  connInfo?: unknown;
  /** What the host knows of the connection in this channel. */
  chanInfo?: unknown;
}

export interface Publication<T = unknown> {
  channel: string;
  /** The data: JSON, or a `Uint8Array` if the publisher has sent bytes. */
  data: T;
  /** Its number in the channel; none if the channel keeps no history. */
  offset?: number;
  tags: Record<string, string>;
  /** Who has published it, if a connection has. */
  info?: Member;
  /** When, in milliseconds since 1970, if the host says so. */
  timeMs?: number;
}

export interface Subscribed {
  channel: string;
  /** Whether all that was missed since the last position follows now. */
  recovered: boolean;
  /** Whether it was asked for. */
  wasRecovering: boolean;
  /**
   * Whether publications may be missing between the last one and the next one:
   * load your state again. Said once for each break.
   */
  missed: boolean;
  /** Whether the channel can be recovered after the next break. */
  recoverable: boolean;
  /** Whether the host watches that nothing is lost on the way. */
  positioned: boolean;
  /** Where the channel was when this was answered, if it has positions. */
  position?: Position;
  /** What the host, or the function, says to this subscriber. */
  data?: unknown;
}

/** Why a state has ended. */
export interface Ended {
  /** A close code, a code of the host, or 0 for this side's own wish. */
  code: number;
  reason: string;
  /** The error that ended it, if it was one. */
  error?: ClientError;
}

export interface ChannelEnded extends Ended {
  channel: string;
}

export interface Joined extends Member {
  channel: string;
}

export interface SubscriptionEvents<T = unknown> {
  /** It is lost, and will be made again. */
  subscribing: ChannelEnded;
  /** It is made; what was recovered follows as publications. */
  subscribed: Subscribed;
  /** It has ended, and will not be made again. */
  unsubscribed: ChannelEnded;
  publication: Publication<T>;
  join: Joined;
  leave: Joined;
  /** An attempt has failed. If the error is not temporary, `unsubscribed` follows. */
  error: ClientError;
}

export interface ClientEvents {
  /** There is no connection, and the client tries to make one. */
  connecting: Ended;
  connected: { client: string; version?: string; data?: unknown };
  /** There is none, and there will be none before `connect()` is called. */
  disconnected: Ended;
  /** An attempt has failed. If the error is not temporary, `disconnected` follows. */
  error: ClientError;
  /** A message of the function to this connection alone. */
  message: { data: unknown };
  /** Those below are of channels to which the host has subscribed this connection. */
  subscribed: Subscribed;
  unsubscribed: ChannelEnded;
  publication: Publication;
  join: Joined;
  leave: Joined;
}

declare class Emitter<Events> {
  /** Adds a listener. Call what it returns to take the listener away. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
  off<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void;
}

/** A condition on the tags of publications, which the host judges. */
export type Filter =
  | { op: 'and' | 'or' | 'not'; nodes: Filter[] }
  | { op?: ''; key: string; cmp: 'ex' | 'nex' }
  | { op?: ''; key: string; cmp: 'in' | 'nin'; vals: string[] }
  | {
      op?: '';
      key: string;
      cmp: 'eq' | 'neq' | 'sw' | 'ew' | 'ct' | 'lt' | 'lte' | 'gt' | 'gte';
      val: string;
    };

export interface SubscribeOptions<T = unknown> {
  /** Begin after this position, with what was published since. */
  since?: Position;
  /** Which publications to get. */
  filter?: Filter;
  /** Ask to see others join and leave. */
  joinLeave?: boolean;
  /** Ask that the channel can be recovered after a break. `true` unless given. */
  recoverable?: boolean;
  /** Ask for positions alone. */
  positioned?: boolean;
  /** A token for this channel. */
  token?: string;
  /** Called for a token: at first unless there is one, and when it has expired. */
  getToken?: (context: { channel: string }) => string | Promise<string>;
  /** Data for the host, or the function. */
  data?: Json;
  onPublication?: (event: Publication<T>) => void;
  onSubscribing?: (event: ChannelEnded) => void;
  onSubscribed?: (event: Subscribed) => void;
  onUnsubscribed?: (event: ChannelEnded) => void;
  onJoin?: (event: Joined) => void;
  onLeave?: (event: Joined) => void;
  onError?: (error: ClientError) => void;
}

export interface HistoryQuery {
  /** From this position on, which is not part of it. */
  since?: Position;
  /** How many: 100 unless given; 0 for the position alone, -1 for all. */
  limit?: number;
  /** The newest first. */
  reverse?: boolean;
}

export interface History<T = unknown> {
  publications: Publication<T>[];
  /** Where the channel is now. */
  position: Position;
}

export interface PresenceStats {
  /** Connections. */
  clients: number;
  /** Distinct users. */
  users: number;
}

/** What this library needs of a WebSocket: the platform's, or that of `ws`. */
export type WebSocketClass = new (url: string, protocols?: any) => {
  send(text: string): void;
  close(code?: number): void;
  readonly bufferedAmount?: number;
};

export interface ClientOptions {
  /** A token for the connection. */
  token?: string;
  /**
   * Called for a token: at first unless there is one, when it has expired, and
   * shortly before. Throw to be asked again after a while, or a `ClientError`
   * that is not temporary to disconnect.
   */
  getToken?: (context: {}) => string | Promise<string>;
  /** Data for the host, or the function, with each connection. */
  data?: Json;
  /** Headers that a browser cannot send: hosts may read these as such. */
  headers?: Record<string, string>;
  /** Subprotocols of the WebSocket. */
  protocols?: string | string[];
  /** The WebSocket to use. The platform's unless given; Node has one from 22 on. */
  websocket?: WebSocketClass;
  /** The name and the version of the program, for logs of the host. */
  name?: string;
  version?: string;
  /** The least delay before a try after the first: 200. */
  minDelayMs?: number;
  /** The most: 20 000. */
  maxDelayMs?: number;
  /** How long a connection may take until the host's first answer: 10 000. */
  connectTimeoutMs?: number;
  /** How long the answer to a command may take: 5 000. */
  timeoutMs?: number;
  /** How late a ping of the host may be: 10 000. */
  pingDelayMs?: number;
  /** Commands that wait for answers: 1 024. */
  pendingMax?: number;
  /** Bytes that wait for the network, after which nothing is sent: 4 MiB. */
  bufferedBytesMax?: number;
  /** Commands kept while there is no connection: 0, they fail at once. */
  queueMax?: number;
  /** Publications that wait for a `for await`: 1 024. */
  bufferMax?: number;
  /** Time, chance and the page; for tests. */
  runtime?: Partial<Runtime>;
}

export interface Runtime {
  now(): number;
  random(): number;
  setTimeout(call: () => void, ms: number): unknown;
  clearTimeout(timer: any): unknown;
  onWake(wake: () => void): () => void;
}

export class Subscription<T = unknown> extends Emitter<SubscriptionEvents<T>> {
  private constructor();
  readonly channel: string;
  readonly state: 'subscribing' | 'subscribed' | 'unsubscribed';
  /** The position of the last publication that was delivered, if there are any. */
  readonly position: Position | undefined;
  /** Resolves when it is subscribed; refused if it ends, or after the time. */
  ready(timeoutMs?: number): Promise<void>;
  unsubscribe(): void;
  publish(data: Json): Promise<void>;
  history(query?: HistoryQuery): Promise<History<T>>;
  presence(): Promise<Member[]>;
  presenceStats(): Promise<PresenceStats>;
  /** Publications from now on, until it ends; fails if `bufferMax` of them wait. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Publication<T>>;
}

export class Client extends Emitter<ClientEvents> {
  /**
   * @param url the address of the host, or a function that is called for one
   * before each connection, as for one with a ticket in it
   */
  constructor(url: string | URL | (() => string | URL | Promise<string | URL>), options?: ClientOptions);
  readonly state: 'disconnected' | 'connecting' | 'connected';
  /** The host's name of the connection; empty if there is none. */
  readonly id: string;
  connect(): void;
  disconnect(): void;
  /** Resolves when it is connected; refused if it is disconnected, or after the time. */
  ready(timeoutMs?: number): Promise<void>;
  /** Subscribes now, or as soon as there is a connection. */
  subscribe<T = unknown>(channel: string, options?: SubscribeOptions<T>): Subscription<T>;
  /** The subscription to a channel, if there is one. */
  subscription(channel: string): Subscription | undefined;
  publish(channel: string, data: Json): Promise<void>;
  /** Calls the function. */
  rpc<T = unknown>(method: string, data?: Json): Promise<T>;
  /** Sends the function a message, which has no answer. */
  send(data: Json): Promise<void>;
  history<T = unknown>(channel: string, query?: HistoryQuery): Promise<History<T>>;
  presence(channel: string): Promise<Member[]>;
  presenceStats(channel: string): Promise<PresenceStats>;
}

/** The one error of this library. */
export class ClientError extends Error {
  constructor(
    code: number,
    message: string,
    more?: { temporary?: boolean; hint?: string; cause?: unknown },
  );
  /** A code of the host from 100 on, or one of `codes`. */
  readonly code: number;
  /** Whether trying again may help. */
  readonly temporary: boolean;
  /** What to do about it. */
  readonly hint: string | undefined;
}

/** Codes of errors that arise in this library. */
export const codes: {
  readonly TIMEOUT: 1;
  readonly CONNECTION_LOST: 2;
  readonly NOT_CONNECTED: 3;
  readonly TOKEN: 5;
  readonly UNSUBSCRIBED: 7;
  readonly BAD_CONFIGURATION: 12;
  readonly TOO_MUCH: 20;
  readonly BAD_PROTOCOL: 21;
};
