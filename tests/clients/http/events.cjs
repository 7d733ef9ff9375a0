// Reads server-sent events as programs in Node do, with the package `eventsource`,
// which comes back by itself. Arguments: the address. Prints each event as a JSON
// document of its type, its data and its id.
'use strict';

const {EventSource} = require('eventsource');

const told = (...words) => console.log(JSON.stringify(words));

const events = new EventSource(process.argv[2]);
events.onopen = () => told('open');
for (const type of ['message', 'openline-close', 'openline-lost'])
  events.addEventListener(type, ({data, lastEventId}) => told(type, data, lastEventId));
// The test ends it.
process.stdin.resume().on('end', () => process.exit(0));
