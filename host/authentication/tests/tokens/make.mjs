// Makes `jose.json` with the keys that make.py printed:
// npm install jose, then: python make.py | node make.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { SignJWT, importJWK } from "jose";

const { claims, keys } = JSON.parse(readFileSync(0, "utf8"));
const tokens = [];
for (const key of keys) {
  const secret = key.kty === "oct" ? Buffer.from(key.k, "base64url") : await importJWK(key, key.alg);
  const header = { alg: key.alg, kid: key.kid, typ: "at+jwt" };
  const token = await new SignJWT(claims).setProtectedHeader(header).sign(secret);
  tokens.push({ alg: key.alg, token });
}
const text = JSON.stringify({ made_by: "jose, by make.mjs; the keys are those of pyjwt.json", tokens }, null, 1);
writeFileSync(process.argv[2] ?? "jose.json", text + "\n");
