package store

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset is behind everything in the file: locked bytes cannot be read.
const lockOffset = 1 << 30

// tryLock locks a file until it is closed, or fails at once.
func tryLock(f *os.File, exclusive bool) error {
	var flags uint32 = windows.LOCKFILE_FAIL_IMMEDIATELY
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: lockOffset})
}
