// Package store keeps the pool's records and documents in one bbolt file that
// survives a kill at any instant. The pool is its only writer.
package store
