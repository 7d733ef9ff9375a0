// Calls a service as programs in Node do, with Connect's client for gRPC-Web
// unmodified, over HTTP/1.1. Arguments: the origin. Prints what it was told, one JSON
// document a line.
'use strict';

const {create, createFileRegistry} = require('@bufbuild/protobuf');
const {FileDescriptorProtoSchema} = require('@bufbuild/protobuf/wkt');
const {createClient} = require('@connectrpc/connect');
const {createGrpcWebTransport} = require('@connectrpc/connect-web');

const told = (word, value) => console.log(JSON.stringify([word, value]));

// greeter.proto, without a compiler.
const STRING = 9, UINT32 = 13, OPTIONAL = 1;
const message = (name, ...fields) => ({
  name,
  field: fields.map(([name, type], index) => ({
    name,
    number: index + 1,
    type,
    label: OPTIONAL,
  })),
});
const method = (name, inputType, serverStreaming = false) => ({
  name,
  inputType: `.openline.greeter.v1.${inputType}`,
  outputType: '.openline.greeter.v1.HelloReply',
  serverStreaming,
});
const file = create(FileDescriptorProtoSchema, {
  name: 'greeter.proto',
  package: 'openline.greeter.v1',
  syntax: 'proto3',
  messageType: [
    message('HelloRequest', ['name', STRING]),
    message('HelloReply', ['text', STRING]),
    message('RepeatRequest', ['name', STRING], ['times', UINT32], ['pause_ms', UINT32]),
  ],
  service: [{
    name: 'Greeter',
    method: [
      method('SayHello', 'HelloRequest'),
      method('Nothing', 'HelloRequest'),
      method('Repeat', 'RepeatRequest', true),
    ],
  }],
});
const registry = createFileRegistry(file, () => undefined);
const transport = createGrpcWebTransport({baseUrl: process.argv[2]});
const client = createClient(registry.getService('openline.greeter.v1.Greeter'), transport);

async function failure(call) {
  try {
    return await call();
  } catch (error) {
    return [error.code, error.rawMessage, error.metadata.get('openline-error-type')];
  }
}

async function all(request, options) {
  const texts = [];
  for await (const {text} of client.repeat(request, options)) texts.push(text);
  return texts;
}

(async () => {
  let echoed;
  const reply = await client.sayHello({name: 'é𝄞'}, {
    headers: {'x-echo-text': 'text'},
    onHeader: (headers) => echoed = headers.get('x-echo-text'),
    timeoutMs: 60_000,
  });
  told('unary', [reply.text, echoed]);
  const replies = await all({name: 'you', times: 500});
  told('stream', [replies.length, [...new Set(replies)]]);
  told('argument', await failure(() => all({name: 'you', times: 1_000_001})));
  told('method', await failure(() => client.nothing({name: 'x'})));
  const large = await failure(() => client.sayHello({name: 'x'.repeat(100_000)}));
  told('large', [large[0], large[2]]);
  const endless = {name: 'you', times: 1_000_000, pauseMs: 1};
  const late = await failure(() => all(endless, {timeoutMs: 300}));
  told('deadline', late[0]);
  const controller = new AbortController();
  const {signal} = controller;
  const cancelled = await failure(async () => {
    for await (const reply of client.repeat(endless, {signal})) controller.abort();
  });
  told('cancelled', cancelled[0]);
  const many = await Promise.all(
    Array.from({length: 20}, (_, number) => client.sayHello({name: `${number}`})));
  told('many', new Set(many.map(({text}) => text)).size);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
