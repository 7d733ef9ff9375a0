"""Reaches connections as backends of API Gateway do, with boto3 unmodified.

Arguments: the endpoint, the access key id, its secret, another secret, and a
connection. Prints what it was told, one JSON document a line.
"""

import ipaddress
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, key_id, secret, other, connection = sys.argv[1:]
# A failure is told at once, not after others.
once = Config(retries={"total_max_attempts": 1}, proxies={})


def client(secret):
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=once,
    )


def told(word, value):
    print(json.dumps([word, value]), flush=True)


def fails(word, ask):
    try:
        ask()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        told(word, [type(error).__name__, error.response["Error"]["Code"], status])
    else:
        told(word, "it was accepted")


good = client(secret)
good.post_to_connection(ConnectionId=connection, Data=b"hello")
good.post_to_connection(ConnectionId=connection, Data=b"\xff\x00")
good.post_to_connection(ConnectionId=connection, Data="grüße".encode())
got = good.get_connection(ConnectionId=connection)
ipaddress.ip_address(got["Identity"]["SourceIp"])
told("year", got["ConnectedAt"].year)
post = {"ConnectionId": connection, "Data": b"x"}
fails("wrong", lambda: client(other).post_to_connection(**post))
fails("large", lambda: good.post_to_connection(ConnectionId=connection, Data=b"x" * 2000))
for gone in ("L0SM9cOFvHcCIhw=", "a b", "00", connection + "0"):
    fails("gone", lambda: good.post_to_connection(ConnectionId=gone, Data=b"x"))
good.delete_connection(ConnectionId=connection)
fails("deleted", lambda: good.get_connection(ConnectionId=connection))
told("end", None)
