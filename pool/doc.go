// Package pool holds all endpoints in memory, decides what is checked when,
// ranks what works, hands it out, and learns from every outcome. It is the
// single truth and the only writer of the store.
//
// One mutex guards the tables, and work over many entries takes it in small
// portions. Pick does not take it: it reads an immutable snapshot whose items
// point to slots with atomics, so that a failure takes effect at once.
package pool
