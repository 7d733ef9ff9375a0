"""Centrifugo's client for Python, driven as the one in Node is: see client.cjs."""

import asyncio
import json
import sys

from centrifuge import CentrifugeError, Client, ClientEventHandler, SubscriptionEventHandler


def tell(what, value=None):
    print(json.dumps([what, value]), flush=True)


class Told(ClientEventHandler):
    async def on_connected(self, ctx):
        tell("connected", ctx.client)

    async def on_connecting(self, ctx):
        tell("connecting", [ctx.code, ctx.reason])

    async def on_disconnected(self, ctx):
        tell("disconnected", [ctx.code, ctx.reason])


class Subscribed(SubscriptionEventHandler):
    async def on_subscribed(self, ctx):
        tell("subscribed", [ctx.was_recovering, ctx.recovered])

    async def on_publication(self, ctx):
        tell("publication", [ctx.pub.data, ctx.pub.offset or 0])

    async def on_error(self, ctx):
        tell("refused", ctx.code)


class Driver:
    def __init__(self, url):
        self.token = ""
        self.client = Client(
            url,
            events=Told(),
            get_token=self.get_token,
            min_reconnect_delay=0.05,
            max_reconnect_delay=0.2,
        )

    async def get_token(self, *_):
        tell("token")
        return self.token

    async def do(self, name, *rest):
        client = self.client
        if name == "token":
            self.token = rest[0]
        elif name == "connect":
            await client.connect()
        elif name == "disconnect":
            await client.disconnect()
        elif name == "subscribe":
            subscription = client.new_subscription(rest[0], events=Subscribed())
            await subscription.subscribe()
        elif name == "publish":
            await client.publish(rest[0], rest[1])
        elif name == "presence":
            result = await client.presence(rest[0])
            return [info.user for info in result.clients.values()]
        elif name == "presenceStats":
            result = await client.presence_stats(rest[0])
            return [result.num_clients, result.num_users]
        elif name == "history":
            result = await client.history(rest[0], limit=rest[1]["limit"])
            return [[pub.data for pub in result.publications], result.offset]
        elif name == "rpc":
            return (await client.rpc(rest[0], rest[1])).data
        return None


async def main():
    driver = Driver(sys.argv[1])
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await reader.readline():
        try:
            tell("done", await driver.do(*json.loads(line)))
        except CentrifugeError as error:
            tell("failed", getattr(error, "code", str(error)))


asyncio.run(main())
