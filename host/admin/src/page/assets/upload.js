// A component on its way to the host: checks the file before it is sent, and
// sends it with its progress.

import { byteSize } from "./format.js";
import { address, answered, credentials, read, Unreachable } from "./interface.js";

// Enough for a slow line and then a host that compiles; the host ends a stalled
// upload earlier.
const UPLOAD_MILLISECONDS_MAX = 10 * 60_000;
// The beginning of every WebAssembly file: a zero byte and "asm".
const MAGIC = [0x00, 0x61, 0x73, 0x6d];

/**
 * What is wrong with a file, as a sentence, or nothing. The host looks at it
 * again and more closely: this only saves the sending.
 */
export async function fileProblem(file) {
  if (file.size === 0) return `${file.name} is empty.`;
  let head;
  try {
    head = new Uint8Array(await file.slice(0, MAGIC.length).arrayBuffer());
  } catch {
    return `${file.name} cannot be read. Is it a folder?`;
  }
  if (!MAGIC.every((byte, index) => head[index] === byte)) {
    return `${file.name} is not a .wasm file: its first bytes are others.`;
  }
  const most = await bytesMax();
  if (most !== undefined && file.size > most) {
    return `${file.name} has ${byteSize(file.size)}; this host takes ${byteSize(most)} (component_bytes).`;
  }
  return undefined;
}

/** The largest component that the host takes, or undefined when it does not say. */
async function bytesMax() {
  try {
    const { server } = await read(["config"]);
    return server.limits.find(({ name }) => name === "component_bytes")?.value;
  } catch {
    return undefined;
  }
}

/**
 * Sends a component. `progress(sent, total)` is called while it leaves, in
 * bytes. `ended` resolves to the host's answer or rejects as requests do;
 * `cancel()` ends it, and `ended` resolves to undefined: the host drops what is
 * half there.
 */
export function upload(name, query, file, progress) {
  const request = new XMLHttpRequest();
  const ended = new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", ({ loaded, total }) => progress(loaded, total));
    request.upload.addEventListener("load", () => progress(file.size, file.size));
    request.addEventListener("load", () => {
      try {
        resolve(answered(request.status, request.responseText));
      } catch (error) {
        reject(error);
      }
    });
    request.addEventListener("abort", () => resolve(undefined));
    request.addEventListener("timeout", () => reject(new Unreachable("The host took too long; the list above shows whether the version is there.")));
    request.addEventListener("error", () => reject(new Unreachable("The connection broke before the host answered, or the file has changed since it was chosen.")));
  });
  request.open("POST", address(["v1", "functions", name, "versions"], query));
  request.timeout = UPLOAD_MILLISECONDS_MAX;
  for (const [key, value] of Object.entries(credentials())) request.setRequestHeader(key, value);
  request.setRequestHeader("Content-Type", "application/wasm");
  request.send(file);
  return { ended, cancel: () => request.abort() };
}
