// Package pool holds all endpoints in memory, decides what is checked when,
// ranks what works, hands it out, and learns from every outcome. It is the
// single truth and the only writer of the store.
//
// # Memory
//
// Lists name hundreds of thousands of endpoints, of which one in fifty works.
// So an endpoint is a row of 80 bytes without pointers, in a group of 40 bytes
// for its address; names, labels and sets of sources are interned; and what
// only few have (traits, history, credentials) lies in side tables. With all
// indexes a million entries take about 155 bytes each. proxy.Entry is a view
// that is made when somebody asks.
//
// # Locks
//
// One mutex, Pool.mu, guards the tables. Whatever goes over many entries takes
// it in portions of a thousand, so nobody waits for it longer than a few
// milliseconds. Pick reads an immutable snapshot through an atomic pointer, and
// takes the mutex only when that has nothing for it and is out of date. The
// items point to slots with atomics, so that a failure takes effect at once for
// those who hold an older snapshot. Targets, sessions, documents and requests
// have mutexes of their own, which are never held while waiting for Pool.mu.
// Pool.saving is held during a write to the store, with none of the others, so
// a slow disk slows down nobody but those who asked for durability.
//
// # Queue
//
// What is checked is an address: a refused connection settles everything that
// is claimed to be there. An address waits in one of three places: the hot heap
// (live, lately live, or asked for), the lists of fresh ones, one per source,
// which take turns in proportion to what the source has given so far, or the
// cold heap of the dead. A host with many ports is a farm: one port stands for
// it until one has passed.
//
// # Life of an endpoint
//
// Add makes it new. A check that passes makes it live, one that fails resting
// or dead, and evidence of tampering unsafe for good. Traffic counts like
// checks: every outcome goes through proxy.Health.Observe with the weights of
// proxy.Outcome.Blame. Three failures of traffic in a row eject a live endpoint
// until a check brings it back; in panic, when few are left, ejections do not
// count. The target has its say as well: when several exits in a row fail at the
// same port of the same host in the same way, the fault is there. What could be
// held back until then is dropped, what was charged at once is taken back, and
// picks for that host and port are refused for a while.
//
// # Durability
//
// New endpoints and changes by the operator are on disk before the call
// returns; concurrent calls share a write. Everything else is written behind by
// Run, a second later. When the store fails, the pool goes on in memory, tries
// again with growing pauses and then writes what it missed.
package pool
