//! The client library of channels: what users import.

export { Client } from './client.js';
export { ClientError, codes } from './error.js';
export { Subscription } from './subscription.js';
