//! Held answers over HTTP/1, from the answer of a function to its end. The answers
//! are what the requests say: each header `x-NAME` of a request is the header `NAME`
//! of the answer, and `x-first` its first bytes. The functions are real.

mod answers;
mod bounds;
mod host;
mod peer;
