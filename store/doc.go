// Package store keeps the pool's records and documents in one bbolt file that
// survives a kill at any instant. The pool is its only writer.
//
// # The file
//
// Four buckets: "freeway" holds the format version, "entries" a record per
// endpoint, "docs" documents by name, and "log" what was saved and is not among
// the entries yet. Keys begin with the address, so that neighbours lie
// together. A record has a version and a checksum; what is behind the fields
// known here is ignored, and a file of a newer format is refused.
//
// # Why a log
//
// bbolt writes whole pages. Verdicts touch endpoints all over the file, so that
// writing each in place would cost a page each: hundreds of gigabytes a day. So
// small batches are appended to the log as one value, and every few minutes
// the log is folded into the entries in the order of keys, ten thousand to a
// transaction. Folding twice does no harm, so a kill on the way does none.
// Large batches, as new lists bring them, go in place at once.
//
// # Damage
//
// bbolt maps the file into memory and trusts it. Before it may do so, verify
// reads the whole file and checks every pointer in it; a file that fails is
// renamed, the last snapshot takes its place, and the program starts. After a
// write that failed the store is read-only until the file was closed, verified
// and opened again: what such a write leaves in memory cannot be relied on.
//
// # Beside the file
//
// PATH.pid is locked by the process that writes and names it. PATH.bak is a
// snapshot, made when the store is closed and once a day. PATH.corrupt-TIME is
// what was put aside, and PATH.vN.bak the copy from before a migration.
package store
