// Package store keeps the pool's records and documents in one bbolt file that
// survives a kill at any instant. The pool is its only writer.
//
// Small batches are appended to a log inside the file, as one value each, and
// folded into the records now and then in the order of their keys: single
// scattered updates would write a page each. A file that is broken is kept
// aside and never stops the program from starting.
package store
