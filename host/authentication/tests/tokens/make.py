"""Makes `pyjwt.json` and `fuzzing.json`: pip install pyjwt cryptography.

The private keys are printed as JSON for `make.mjs` and are not kept. Each run
makes other keys, so run both or none.
"""

import base64
import json
import pathlib
import secrets
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

HERE = pathlib.Path(__file__).parent
CLAIMS = {
    "iss": "https://issuer.example.org",
    "aud": ["chat", "news"],
    "sub": "ann",
    "jti": "t1",
    "iat": 1790000000,
    "nbf": 1790000000,
    "exp": 1800000000,
    "role": "editor",
    "groups": ["a", "b"],
}


def keys():
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    for alg in ["HS256", "HS384", "HS512"]:
        secret = secrets.token_bytes(64)
        k = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        yield alg, secret, {"kty": "oct", "k": k}, {"kty": "oct", "k": k}
    for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]:
        key = rsa.generate_private_key(65537, 2048)
        yield alg, key, *both(RSAAlgorithm, key)
    for alg, curve in curves.items():
        key = ec.generate_private_key(curve)
        yield alg, key, *both(ECAlgorithm, key)
    key = ed25519.Ed25519PrivateKey.generate()
    yield "EdDSA", key, *both(OKPAlgorithm, key)


def both(algorithm, key):
    names = ["kty", "crv", "n", "e", "x", "y"]
    private = algorithm.to_jwk(key, as_dict=True)
    public = algorithm.to_jwk(key.public_key(), as_dict=True)
    return private, {name: public[name] for name in names if name in public}


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


privates, publics, tokens = [], [], []
for alg, key, private, public in keys():
    named = {"kid": alg, "alg": alg, "use": "sig"}
    privates.append(private | named)
    publics.append(public | named)
    token = jwt.encode(CLAIMS, key, algorithm=alg, headers={"kid": alg})
    tokens.append({"alg": alg, "token": token})
made_by = f"PyJWT {jwt.__version__}, by make.py"
write("pyjwt.json", {"made_by": made_by, "keys": publics, "tokens": tokens})
unknown = [public | {"kid": alg} for alg, _, _, public in keys()]
write("../../src/fuzzing.json", {"made_by": "make.py; the private parts are gone", "keys": unknown})
json.dump({"claims": CLAIMS, "keys": privates}, sys.stdout)
