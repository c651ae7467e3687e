//go:build unix

package gateway

import "syscall"

// defaultConns leaves a third of the file limit, and 100 more, for files and
// the checker; each client may need two descriptors.
func defaultConns() int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 1000
	}
	n := int64(min(uint64(lim.Cur), 1<<22))
	return int(max(16, (n-100)/3))
}
