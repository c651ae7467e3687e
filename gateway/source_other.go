//go:build !unix

package gateway

// rawReads says that source.try can read.
const rawReads = false

// try is not used.
func (s *source) try(uintptr) bool { return true }
