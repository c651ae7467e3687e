// Package gateway serves clients: HTTP proxying, CONNECT, SOCKS4, 4a and 5 on
// one port, told apart by the first byte. Every request leaves through an
// upstream that the Picker hands out, and through another one when that fails,
// as long as it is safe: before any byte of the request was written, any
// method; afterwards only methods that may be repeated, with a body that is
// held whole, and while the client was given nothing.
//
// Nothing is ever dialled but upstreams: the package has no other way out than
// Env.Dialer, and it resolves no name of a target. TLS is passed through
// untouched. What a client sends is read strictly by package http1 and sent on
// in normal form without the headers that are for proxies.
package gateway
