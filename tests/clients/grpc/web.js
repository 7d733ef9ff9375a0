// Calls a service as pages do, with Google's client for gRPC-Web unmodified. The body
// of an asynchronous function in a page, whose `a` has the text of that client, the
// origin, and the format. Returns what it was told.

const module = {exports: {}};
new Function('module', 'exports', a.source)(module, module.exports);
const {GrpcWebClientBase, MethodDescriptor, MethodType} = module.exports;

// The messages of greeter.proto: texts are short, and numbers are varints.
class Message {}
const text = (number, text) => {
  const bytes = new TextEncoder().encode(text);
  return [(number << 3) | 2, ...varint(bytes.length), ...bytes];
};
const number = (field, value) => [field << 3, ...varint(value)];
const varint = (value) =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
const hello = ({name}) => new Uint8Array(text(1, name));
const repeat = ({name, times, pause}) =>
  new Uint8Array([...text(1, name), ...number(2, times), ...number(3, pause)]);
const reply = (bytes) => new TextDecoder().decode(bytes.slice(2));

const service = `${a.origin}/openline.greeter.v1.Greeter`;
const client = new GrpcWebClientBase({format: a.format});
const method = (name, type, serialize) =>
  new MethodDescriptor(`/${name}`, type, Message, Message, serialize, reply);
const unary = (name, request, metadata = {}) =>
  client.unaryCall(
    `${service}/${name}`, request, metadata, method(name, MethodType.UNARY, hello));

// All replies of a call, or as many as there may be; and how it ended.
function stream(request, metadata = {}, most = Infinity) {
  const descriptor = method('Repeat', MethodType.SERVER_STREAMING, repeat);
  return new Promise((resolve) => {
    const replies = [];
    const call = client.serverStreaming(`${service}/Repeat`, request, metadata, descriptor);
    call.on('data', (reply) => {
      if (replies.push(reply) === most) {
        call.cancel();
        resolve([[...replies], 'cancelled']);
      }
    });
    call.on('error', ({code}) => resolve([replies, code]));
    call.on('status', ({code}) => code === 0 || resolve([replies, code]));
    call.on('end', () => resolve([replies, 0]));
  });
}
const failed = (promise) => promise.catch(({code, message}) => [code, message]);

const told = {};
told.unary = await unary('SayHello', {name: 'é𝄞'});
told.argument = await failed(unary('SayHello', {name: ''}));
told.method = (await failed(unary('Nothing', {name: 'x'})))[0];
told.large = (await failed(unary('SayHello', {name: 'x'.repeat(100_000)})))[0];
const [replies, status] = await stream({name: 'you', times: 500, pause: 0});
told.stream = [replies.length, [...new Set(replies)], status];
const endless = {name: 'you', times: 1_000_000, pause: 1};
const deadline = String(Date.now() + 300);
told.deadline = (await stream(endless, {deadline}))[1];
// As XMLHttpRequest has bytes only at the end of an answer, but text as it comes.
if (a.format === 'text') told.cancelled = await stream(endless, {}, 3);
return told;
