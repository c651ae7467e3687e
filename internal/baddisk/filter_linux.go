//go:build amd64 || arm64

package baddisk

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// install puts the filter on this thread, which the goroutine never leaves,
// and returns the descriptor over which the kernel asks. What the thread
// executes inherits the filter.
func install(which Kind) (int, error) {
	runtime.LockOSThread()
	program := filter(which)
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// filter is a BPF program that asks about calls of some kinds.
func filter(which Kind) []unix.SockFilter {
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	out := []unix.SockFilter{{Code: load}} // the number of the call
	for nr, kind := range kinds {
		if kind&which != 0 {
			out = append(out, unix.SockFilter{Code: equal, Jf: 1, K: uint32(nr)}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
		}
	}
	return append(out, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}
