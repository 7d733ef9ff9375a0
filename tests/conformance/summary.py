#!/usr/bin/env python3
"""What run.sh does before and after the suite; needs nothing but Python.

    probe URL          makes one handshake
    spec URL FOLDER    prints what the suite is to do
    serve-spec PORT FOLDER
                       the same, against a client
    free-port          prints a port that nothing listens on
    report FOLDER      prints what came of it; fails when a case did
"""
import base64
import collections
import hashlib
import json
import os
import re
import socket
import sys
import urllib.parse

# The name of the server in the suite's reports.
AGENT = "server"
PROBE_SECONDS = 10
# In the order of the table's columns.
KINDS = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED"]


def probe(url):
    """One opening handshake, so that a missing server is told at once."""
    parts = urllib.parse.urlsplit(url)
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    key = base64.b64encode(os.urandom(16)).decode()
    try:
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=PROBE_SECONDS) as stream:
            stream.sendall((f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                            "Sec-WebSocket-Version: 13\r\n\r\n").encode())
            data = b""
            while b"\r\n\r\n" not in data:
                more = stream.recv(4096)
                if not more:
                    break
                data += more
    except OSError as error:
        print(f"probe: {error}", file=sys.stderr)
        return 1
    head = data.decode("latin-1").split("\r\n\r\n")[0]
    want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    accept = re.search(r"(?im)^sec-websocket-accept:\s*(\S+)", head)
    if not re.match(r"HTTP/1\.1 101\b", head) or not accept or accept.group(1) != want:
        print("probe: not a WebSocket handshake: " + repr(head[:200]), file=sys.stderr)
        return 1
    return 0


def spec(url, folder):
    json.dump({"outdir": folder, "servers": [{"agent": AGENT, "url": url}],
               "cases": os.environ.get("CASES", "*").split(),
               "exclude-cases": os.environ.get("EXCLUDE", "").split(),
               "exclude-agent-cases": {}}, sys.stdout, indent=1)
    return 0


def serve_spec(port, folder):
    json.dump({"outdir": folder, "url": f"ws://127.0.0.1:{port}",
               "cases": os.environ.get("CASES", "*").split(),
               "exclude-cases": os.environ.get("EXCLUDE", "").split(),
               "exclude-agent-cases": {}}, sys.stdout, indent=1)
    return 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1])
    return 0


def order(case):
    return [int(number) for number in case.split(".")]


def one_line(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def judge(result, detail, strict):
    """What kind a case's result is, why it failed, and what is to be noted."""
    kind, close = result["behavior"], result["behaviorClose"]
    why, notes = [], []
    if kind not in KINDS or kind == "FAILED":
        why.append(str(detail.get("result", kind)))
    # The suite itself lets pass a close with another code than expected. Here
    # it fails: the host has a reason for each of its codes.
    if close not in ("OK", "INFORMATIONAL"):
        why.append(f"close {close}: {detail.get('resultClose', '')}")
    if kind == "NON-STRICT" and strict:
        why.append("NON-STRICT")
    elif kind == "NON-STRICT":
        notes.append("NON-STRICT -- " + one_line(detail.get("description", "")))
    return ("FAILED" if why else kind), why, notes


def report(folder):
    strict = os.environ.get("STRICT") == "1"
    with open(os.path.join(folder, "wstest.log"), encoding="utf-8", errors="replace") as file:
        log = file.read()
    # The suite prints which cases it is about to run: one that is missing
    # afterwards has failed.
    match = re.search(r"^Cases = (\[.*\])$", log, re.M)
    wanted = re.findall(r"'([0-9.]+)'", match.group(1)) if match else []
    if not wanted:
        print("error: the suite ran no case\nhint: see wstest.log", file=sys.stderr)
        return 2
    with open(os.path.join(folder, "index.json")) as file:
        results = json.load(file).get(AGENT, {})

    table = collections.defaultdict(collections.Counter)
    failed, failures, missing, notes = 0, [], [], []
    for case in sorted(wanted, key=order):
        result, detail = results.get(case), {}
        if result is None:
            kind, why, noted = "FAILED", [], []
            missing.append(case)
        else:
            try:
                with open(os.path.join(folder, result["reportfile"])) as file:
                    detail = json.load(file)
            except OSError:
                pass  # the index has the outcome, only not the words
            kind, why, noted = judge(result, detail, strict)
        table[order(case)[0]][kind] += 1
        notes += [f"note {case}: {note}"[:120] for note in noted]
        if kind == "FAILED":
            failed += 1
        if why:
            code = result["remoteCloseCode"]
            description = one_line(detail.get("description", ""))[:110]
            failures.append(f"FAILED {case}: {'; '.join(why)} [close code {code}] -- {description}")
    if missing:
        failures.append(f"FAILED: {len(missing)} cases from {missing[0]} on did not run: is the server gone?")

    print("group " + " ".join(f"{kind:>14}" for kind in KINDS))
    for group in sorted(table):
        print(f"{group:>4}.* " + " ".join(f"{table[group][kind] or '-':>14}" for kind in KINDS)[1:])
    if "Traceback (most recent call last)" in log:
        notes.append("note: the suite itself raised an exception, see wstest.log")
    print("\n".join(notes + failures), end="\n" if notes or failures else "")
    unimplemented = sum(counter["UNIMPLEMENTED"] for counter in table.values())
    passed = len(wanted) - failed - unimplemented
    print(f"conformance: {passed} passed, {failed} failed, {unimplemented} unimplemented")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit({"probe": probe, "spec": spec, "serve-spec": serve_spec,
              "free-port": free_port, "report": report}[sys.argv[1]](*sys.argv[2:]))
