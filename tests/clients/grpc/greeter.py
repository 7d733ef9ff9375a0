"""Calls a service as programs in Python do, with grpcio unmodified.

Arguments: the address, and the file of the authority or nothing. Prints what it was
told, one JSON document a line.
"""

import json
import sys
import threading
from queue import Queue

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

address, authority = sys.argv[1], (sys.argv[2:] + [None])[0]

STRING, UINT32 = 9, 13


def messages():
    """The messages of greeter.proto, without a compiler."""
    file = descriptor_pb2.FileDescriptorProto(
        name="greeter.proto", package="openline.greeter.v1", syntax="proto3"
    )
    for name, fields in {
        "HelloRequest": [("name", STRING)],
        "HelloReply": [("text", STRING)],
        "RepeatRequest": [("name", STRING), ("times", UINT32), ("pause_ms", UINT32)],
    }.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = message_factory.GetMessageClassesForFiles(["greeter.proto"], pool)
    return [found[f"openline.greeter.v1.{name}"] for name in
            ("HelloRequest", "HelloReply", "RepeatRequest")]


Hello, Reply, Repeat = messages()


def told(word, value):
    print(json.dumps([word, value]), flush=True)


def fails(word, call):
    try:
        result = call()
    except grpc.RpcError as error:
        trailing = {key: value for key, value in error.trailing_metadata() or ()}
        details = trailing.get("grpc-status-details-bin", b"")
        told(word, [error.code().name, trailing.get("openline-error-type"),
                    details.decode()])
    else:
        told(word, repr(result))


OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
if authority:
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    channel = grpc.secure_channel(address, credentials, OPTIONS)
else:
    channel = grpc.insecure_channel(address, OPTIONS)


def method(kind, name, request=Hello):
    return getattr(channel, kind)(
        f"/openline.greeter.v1.Greeter/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=Reply.FromString,
    )


say = method("unary_unary", "SayHello")
greet_all = method("stream_unary", "GreetAll")
repeat = method("unary_stream", "Repeat", Repeat)
chat = method("stream_stream", "Chat")

reply, call = say.with_call(
    Hello(name="you"),
    metadata=[("x-echo-text", "text"), ("x-echo-bytes-bin", b"\x00\xff")],
    timeout=60,
)
told("unary", reply.text)
initial = {key: value for key, value in call.initial_metadata()}
told("metadata", [initial["x-echo-text"], list(initial["x-echo-bytes-bin"])])
told("many in", greet_all(iter([Hello(name="a"), Hello(name="b")])).text)
told("many out", sum(1 for _ in repeat(Repeat(name="you", times=500))))

# Each request waits for the reply to the one before it.
requests = Queue()
requests.put(Hello(name="0"))
replies = chat(iter(requests.get, None))
texts = []
for number in range(1, 6):
    texts.append(next(replies).text)
    requests.put(Hello(name=str(number)) if number < 5 else None)
told("both", texts)
told("end", [list(replies), replies.code().name])

# A hundred calls at once on one connection.
results = []
threads = [
    threading.Thread(target=lambda n=n: results.append(say(Hello(name=str(n))).text))
    for n in range(100)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
told("hundred", len(set(results)))

fails("argument", lambda: say(Hello(name="")))
fails("method", lambda: method("unary_unary", "Nothing")(Hello(name="x")))
fails("large", lambda: say(Hello(name="x" * (6 << 20))))
fails("deadline", lambda: list(
    repeat(Repeat(name="you", times=1000000, pause_ms=20), timeout=0.5)))
endless = repeat(Repeat(name="you", times=1000000, pause_ms=1))
next(endless)
endless.cancel()
fails("cancelled", lambda: list(endless))
told("after", say(Hello(name="after")).text)
channel.close()
