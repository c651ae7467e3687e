// Package judge is the page that tells a check what a web server saw: the
// handler that answers so, and the reader of its answers and of those of
// httpbin and its kin.
//
// A request carries a fresh nonce in the query (NonceKey). An answer without it
// is old or invented. Freeway's own answers end with a checksum over every byte
// before it, and, when checker and judge share a key, with an HMAC-SHA256 over
// that, so a proxy can neither change an answer nor make one up.
package judge
