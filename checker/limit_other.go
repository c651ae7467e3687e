//go:build !unix

package checker

// fileLimit returns 0: sockets do not count as files here.
func fileLimit() uint64 { return 0 }
