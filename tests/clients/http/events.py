"""Reads server-sent events as programs in Python do, with httpx and httpx-sse, and
comes back when an answer ends. Arguments: the address. Prints each event as a JSON
document of its type, its data and its id.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def told(*words):
    print(json.dumps(words), flush=True)


last, retry = "", 0.05
with httpx.Client(timeout=None) as client:
    while True:
        headers = {"last-event-id": last} if last else {}
        with connect_sse(client, "GET", sys.argv[1], headers=headers) as source:
            source.response.raise_for_status()
            told("open")
            for event in source.iter_sse():
                last = event.id or last
                retry = event.retry / 1000 if event.retry is not None else retry
                # httpx-sse also gives events that have no data, which are none.
                if event.data or event.event != "message":
                    told(event.event, event.data, last)
        time.sleep(retry)
