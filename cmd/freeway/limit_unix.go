//go:build unix

package main

import "syscall"

// fileLimit returns how many files the process may have open. The runtime has
// raised the soft limit to the hard one already.
func fileLimit() (uint64, bool) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	return uint64(l.Cur), true
}
