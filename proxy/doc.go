// Package proxy is the vocabulary of Freeway: what a proxy is, what is known
// of it, what happened when it was used, and the one law by which that becomes
// a score.
//
// Everything here is pure: no I/O, no goroutines, no package state. Functions
// that depend on the time take it as an argument. All types are safe to copy;
// values are safe for concurrent use as long as nobody writes to them.
package proxy
