"""Asks a function as programs in Python do: with requests, httpx and aiohttp.

Arguments: the origin, and the file of the authority or nothing. Prints what it was
told, one JSON document a line.
"""

import asyncio
import json
import ssl
import sys

import aiohttp
import httpx
import requests

origin, authority = sys.argv[1], (sys.argv[2:] + [None])[0]
texts = ["one", "é𝄞", "x" * 100_000, "last"]
pieces = [text.encode() for text in texts]


def told(word, value):
    print(json.dumps([word, value]), flush=True)


def with_requests():
    with requests.Session() as session:
        # Also where the environment names other authorities, or proxies.
        session.trust_env = False
        session.verify = authority or True
        # A generator has no length: the body travels in chunks.
        with session.post(f"{origin}/echo", data=iter(pieces), stream=True) as answer:
            body = b"".join(answer.iter_content(None))
            told("requests up", [answer.status_code, body == b"".join(pieces)])
        document = {"number": 17, "text": "é𝄞"}
        told("requests json", session.post(f"{origin}/echo", json=document).json())
        with session.get(f"{origin}/count/5", stream=True) as answer:
            told("requests lines", [line.decode() for line in answer.iter_lines()])


def with_httpx(http2):
    word = "httpx http2" if http2 else "httpx"
    options = {
        # Without TLS a client must know beforehand.
        "http1": not http2 or authority is not None,
        "http2": http2,
        "verify": ssl.create_default_context(cafile=authority) if authority else True,
        "trust_env": False,
    }
    with httpx.Client(**options) as client:
        with client.stream("POST", f"{origin}/echo", content=iter(pieces)) as answer:
            body = b"".join(answer.iter_raw())
            told(word, [answer.http_version, body == b"".join(pieces)])
        with client.stream("GET", f"{origin}/forever?pause=1") as answer:
            lines = answer.iter_lines()
            told(f"{word} lines", [next(lines) for _ in range(3)])
    # httpx does not reset a stream of HTTP/2 that it no longer reads: the client must
    # have gone. The function learns it.
    before = 1 if http2 else 0
    with httpx.Client(**options) as client:
        while client.get(f"{origin}/state").json()["left"] == before:
            pass
        told(f"{word} left", before + 1)


async def with_aiohttp():
    verify = ssl.create_default_context(cafile=authority) if authority else True
    connector = aiohttp.TCPConnector(ssl=verify)
    async with aiohttp.ClientSession(connector=connector) as session:
        came_back = asyncio.Queue()

        async def in_turns():
            """Sends each piece when the one before has come back."""
            for piece in pieces:
                yield piece
                await came_back.get()

        async with session.post(f"{origin}/echo", data=in_turns()) as answer:
            turns = []
            for piece in pieces:
                turns.append(await answer.content.readexactly(len(piece)) == piece)
                came_back.put_nowait(None)
            told("aiohttp in turns", [turns, await answer.content.read()  == b""])

        async def count():
            async with session.get(f"{origin}/count/5?pause=1") as answer:
                return await answer.text()

        counted = await asyncio.gather(*(count() for _ in range(20)))
        told("aiohttp many", sorted(set(counted)))


with_requests()
with_httpx(False)
with_httpx(True)
asyncio.run(with_aiohttp())
