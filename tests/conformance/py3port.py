#!/usr/bin/env python3
"""Makes an installed autobahntestsuite 25.10.1, which is for Python 2, run with Python 3.

Run by run.sh with the Python of the virtual environment in which
autobahntestsuite 25.10.1 and autobahn 0.10.9 are installed; it rewrites these
installed packages in place, once.

How: lib2to3 does the syntax.  Python 2's byte strings are kept as Python 3 str
holding one character per octet (latin-1), so that no test case has to be
touched for its payloads; the conversion happens only at the edge to the
protocol class (sendFrame and so on outwards, onMessage and onPong inwards).
Every replacement asserts that it hit, so a changed upstream fails loudly.
"""
import os
import re
import sys
import warnings

warnings.simplefilter("ignore")
try:
    from lib2to3 import refactor
    FIX = "lib2to3.fixes.fix_"
except ImportError:  # Python >= 3.13
    from fissix import refactor
    FIX = "fissix.fixes.fix_"

import importlib.util
from importlib.metadata import version

WANT = {"autobahntestsuite": "25.10.1", "autobahn": "0.10.9"}
FIXERS = ["print", "has_key", "except", "raise", "xrange", "unicode", "dict",
          "import", "numliterals", "ne", "repr", "exec", "map", "filter", "zip"]
# WAMP and wsperf parts are not imported by wstest.py, and are left as they are
MODULES = ["wstest", "fuzzing", "caseset", "report", "spectemplate", "interfaces",
           "choosereactor", "echo", "broadcast", "massconnect", "testee", "util"]

SHIM = '''\
"""Octets as latin-1 str: what Python 2 called str (written by py3port.py)."""
import binascii as _b
from autobahn.websocket.utf8validator import Utf8Validator as _V


def octets(x):
    """latin-1 str or bytes -> bytes"""
    return x.encode("latin-1") if isinstance(x, str) else bytes(x)


def chars(x):
    """bytes -> latin-1 str; anything else unchanged"""
    return bytes(x).decode("latin-1") if isinstance(x, (bytes, bytearray, memoryview)) else x


def utf8(s):
    """unicode -> its UTF-8 octets as latin-1 str"""
    return s.encode("utf-8", "surrogatepass").decode("latin-1")


def text(x):
    """octets of UTF-8 text as latin-1 str -> the text, for the reports"""
    try:
        return x.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return x


def b2a_hex(x):
    return _b.b2a_hex(octets(x)).decode("ascii")


hexlify = b2a_hex


class Utf8Validator(object):
    def __init__(self):
        self._v = _V()
        self.reset = self._v.reset

    def validate(self, x):
        return self._v.validate(octets(x))
'''

EDGE = '''
   # --- edge between octets-as-str (cases) and bytes (autobahn), by py3port.py
   def sendFrame(self, opcode, payload = b'', *args, **kw):
      return super().sendFrame(opcode, _p3.octets(payload), *args, **kw)

   def sendMessage(self, payload, *args, **kw):
      return super().sendMessage(_p3.octets(payload), *args, **kw)

   def sendMessageFrameData(self, payload, *args, **kw):
      return super().sendMessageFrameData(_p3.octets(payload), *args, **kw)

   def sendCloseFrame(self, code = None, reasonUtf8 = None, isReply = False):
      if isinstance(reasonUtf8, str):
         # autobahn's own reply passes text, a test case passes octets
         reasonUtf8 = reasonUtf8.encode("utf-8") if isReply else _p3.octets(reasonUtf8)
      return super().sendCloseFrame(code, reasonUtf8, isReply)

'''


def sub(text, old, new, count=1, regex=False):
    """replace exactly `count` times (None: at least once)"""
    if regex:
        text, n = re.subn(old, lambda m: m.expand(new), text, flags=re.M)
    else:
        n = text.count(old)
        text = text.replace(old, new)
    if (count is None and n < 1) or (count is not None and n != count):
        raise SystemExit("py3port: %d hits instead of %s for %r" % (n, count, old))
    return text


def common(text):
    text = re.sub(r"^import binascii\s*$", "from autobahntestsuite import _p3 as binascii", text, flags=re.M)
    # new-style mixing of Python 2: object must not stand before another base
    text = text.replace("(object, Case, )", "(Case, )")
    # integer division
    text = re.sub(r"#\s*coding=utf-8", "# -*- (was UTF-8 octets) -*-", text)
    return text


def patch_case(name, text):
    if name == "case.py":
        text = sub(text, "return pickle.dumps(obj1) == pickle.dumps(obj2)", "return obj1 == obj2")
    if name == "case6_x_x.py":
        text = sub(text, "from autobahn.websocket.utf8validator import Utf8Validator",
                   "from autobahntestsuite import _p3\nfrom autobahntestsuite._p3 import Utf8Validator")
        text = sub(text, r'chr\((i|j)\)\.encode\("utf-8"\)', r"_p3.utf8(chr(\1))", 5, regex=True)
    if name == "case10_1_1.py":
        text = sub(text, "len(self.payload) / self.p.autoFragmentSize", "len(self.payload) // self.p.autoFragmentSize")
    if name == "case12_x_x.py":
        text = sub(text, "import copy, os, pkg_resources, hashlib, binascii",
                   "import copy, os, pkg_resources, hashlib\nfrom autobahntestsuite import _p3, _p3 as binascii")
        text = sub(text, "def onMessage(self, msg, binary):\n", "def onMessage(self, msg, binary):\n   msg = _p3.octets(msg)\n")
    if name == "case9_9_1.py":  # not among the cases that run
        text = sub(text, "from zope.interface import implements", "from zope.interface import implementer")
        text = sub(text, "   implements(interfaces.IPushProducer)\n", "")
        text = sub(text, "class FrameProducer:", "@implementer(interfaces.IPushProducer)\nclass FrameProducer:")
    return text


def patch_top(name, text):
    if name == "wstest.py":  # WAMP message samples: need unittest2, and are no part of this
        text = sub(text, "from . import serializer\n", "")
    if name == "fuzzing.py":
        text = sub(text, "import os, json, binascii, time, textwrap, pkg_resources",
                   "import os, json, time, textwrap, pkg_resources\nfrom autobahntestsuite import _p3, _p3 as binascii")
        text = sub(text, "def asciiLogData(data, maxlen = 64, replace = False):\n",
                   "def asciiLogData(data, maxlen = 64, replace = False):\n   data = _p3.octets(data)\n")
        text = sub(text, "dd = data[:maxlen] + ellipses\n", "dd = data[:maxlen] + _p3.octets(ellipses)\n")
        text = sub(text, "   MAX_WIRE_LOG_DATA = 256\n", "   MAX_WIRE_LOG_DATA = 256\n" + EDGE)
        text = sub(text, "p = ''.join(payload)", "p = b''.join(payload)")
        for a in ("httpRequest", "httpResponse"):
            f = "http_%s_data" % a[4:].lower()
            text = sub(text, '"%s": self.%s if' % (a, f), '"%s": _p3.chars(self.%s) if' % (a, f))
        for a in ("localCloseReason", "remoteCloseReason"):
            text = sub(text, '"%s": self.%s,' % (a, a), '"%s": _p3.chars(self.%s),' % (a, a))
        text = sub(text, "self.runCase.onPong(payload)", "self.runCase.onPong(_p3.chars(payload))")
        text = sub(text, "self.runCase.onMessage(msg, binary)", "self.runCase.onMessage(_p3.chars(msg), binary)")
        text = sub(text, '"description": self.Case.DESCRIPTION,', '"description": _p3.text(self.Case.DESCRIPTION),')
        text = sub(text, "</p>\\n' % CCase.DESCRIPTION)", "</p>\\n' % _p3.text(CCase.DESCRIPTION))")
        text = sub(text, r'\.encode\("utf-8"\)\)$', ")", 1, regex=True)
        text = sub(text, "ll.encode('utf8')", "ll")
        text = sub(text, r"open\(os\.path\.join\(outdir, report_filename\), 'w'\)",
                   "open(os.path.join(outdir, report_filename), 'w', encoding = 'utf-8')", 4, regex=True)
    return text


def patch_autobahn(pkg):
    path = os.path.join(pkg, "websocket", "protocol.py")
    text = open(path, encoding="utf-8").read()
    text = sub(text, "range(payload_len / len(payload))", "range(payload_len // len(payload))")
    # Python 2 decodes surrogates; an invalid reason has been judged just above
    text = sub(text, "self.remoteCloseReason = reasonRaw.decode('utf8')",
               "self.remoteCloseReason = reasonRaw.decode('utf8', 'replace')")
    open(path, "w", encoding="utf-8").write(text)


def main():
    dirs = {}
    for name, want in WANT.items():
        if version(name) != want:
            raise SystemExit("py3port: %s %s installed, %s needed" % (name, version(name), want))
        dirs[name] = os.path.dirname(importlib.util.find_spec(name).origin)
    base = dirs["autobahntestsuite"]
    init = os.path.join(base, "__init__.py")
    if "py3port" in open(init).read():
        print("py3port: already applied")
        return
    tool = refactor.RefactoringTool([FIX + f for f in FIXERS])
    jobs = [os.path.join(base, m + ".py") for m in MODULES]
    jobs += sorted(os.path.join(base, "case", f) for f in os.listdir(os.path.join(base, "case")) if f.endswith(".py"))
    out = {}
    for path in jobs:
        # read and written as latin-1, with the cookie saying so: an UTF-8 literal
        # stays the sequence of its octets, as in Python 2
        with open(path, encoding="latin-1") as f:
            text = f.read()
        text = common(text.replace("\r\n", "\n"))
        if not text.endswith("\n"):
            text += "\n"
        text = str(tool.refactor_string(text, path))
        name = os.path.basename(path)
        text = patch_case(name, text) if os.path.basename(os.path.dirname(path)) == "case" else patch_top(name, text)
        out[path] = "# -*- coding: latin-1 -*-\n" + text
    for path, text in out.items():
        compile(text.encode("latin-1"), path, "exec")
    for path, text in out.items():
        with open(path, "w", encoding="latin-1") as f:
            f.write(text)
    patch_autobahn(dirs["autobahn"])
    with open(os.path.join(base, "_p3.py"), "w") as f:
        f.write(SHIM)
    with open(init, "w") as f:
        f.write("# rewritten by py3port.py\nfrom autobahntestsuite._version import __version__\n\nversion = __version__\n")
    print("py3port: %d files rewritten" % len(out))


if __name__ == "__main__":
    sys.exit(main())
