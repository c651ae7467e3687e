//go:build unix

package checker

import "syscall"

// fileLimit returns how many files this process may have open, 0 when that is not known.
func fileLimit() uint64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return uint64(r.Cur)
}
