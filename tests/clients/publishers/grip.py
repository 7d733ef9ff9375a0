"""Publishes as backends of Pushpin and Fanout do, with gripcontrol and pubcontrol
unmodified.

Arguments: the address, the access key id, its secret, and a key. Prints what it
was told, one JSON document a line.
"""

import base64
import json
import sys

from gripcontrol import GripPubControl, WebSocketMessageFormat, parse_grip_uri
from pubcontrol import Item, PubControl

uri, key_id, secret, key = sys.argv[1:]


def told(word, value):
    print(json.dumps([word, value]), flush=True)


def tries(word, publisher, channel, item):
    try:
        publisher.publish(channel, item, blocking=True)
    except Exception as error:  # The libraries raise `ValueError` for all.
        told(word, str(error))
    else:
        told(word, True)


def said(text, **more):
    return Item(WebSocketMessageFormat(text), **more)


signing = {"control_uri": uri, "control_iss": key_id, "key": secret}
signs = GripPubControl(signing)
tries("signed", signs, "news", said("signed", id="1", prev_id="0"))
# The same once more, which is no second publication.
tries("repeated", signs, "news", said("signed", id="1", prev_id="0"))
tries("bytes", signs, "news", Item(WebSocketMessageFormat(b"\xff\x00", binary=True)))
# As platforms configure it: one address with everything in it.
encoded = base64.b64encode(secret.encode()).decode()
config = parse_grip_uri(f"{uri}?iss={key_id}&key=base64:{encoded}")
tries("address", GripPubControl(config), "news", said("by address"))
bears = PubControl({"uri": uri, "key": key})
tries("bearer", bears, "news", said("bearer"))
goes = WebSocketMessageFormat(action="close", code=3013, reason="bye for now")
tries("closes", signs, "news", Item(goes))
wrong = GripPubControl({**signing, "key": secret[::-1]})
tries("wrong", wrong, "news", said("x"))
tries("elsewhere", signs, "closed", said("x"))
told("end", None)
