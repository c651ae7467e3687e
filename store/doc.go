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
// reads the whole file and checks every pointer in it. A file that fails is
// renamed; what it held before its latest transaction takes its place if that
// is whole, else the latest snapshot that is, and the program starts. A fault
// in reading the file later, when the disk cannot read it, is an error.
//
// # Writes that fail
//
// After a write that failed the store is read-only: what such a write leaves
// in memory cannot be relied on. When it failed for want of room, the file is
// closed, verified and opened again as soon as there is room. After any other
// error, above all that of a sync, the kernel may take pages for written that
// are not, so all is copied to a new file first, in growing pauses.
//
// # Beside the file
//
// PATH.pid is locked by the process that writes and names it. PATH.bak,
// PATH.bak.1 and so on are snapshots, the latest first, made when the store is
// closed and every few hours; each was verified before it drove out the oldest.
// PATH.corrupt-TIME is what was put aside, PATH.replaced-TIME what a restore
// replaced, and PATH.vN.bak the copy from before a migration.
package store
