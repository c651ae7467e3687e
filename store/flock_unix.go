//go:build !windows

package store

import (
	"os"
	"syscall"
)

// tryLock locks a file until it is closed, or fails at once.
func tryLock(f *os.File, exclusive bool) error {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	return syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
}
