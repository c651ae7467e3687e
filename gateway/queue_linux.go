package gateway

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseNew makes the kernel ignore requests for new connections (SYN without
// ACK, RFC 9293 section 3.1) on a listening socket. Handshakes under way go on.
// Whoever is ignored tries again a second later and finds the port closed, or
// taken by the next process.
func refuseNew(raw syscall.RawConn) {
	const flags, syn, ack = 13, 0x02, 0x10 // where the flags are in a TCP header, and two of them
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	}
	_ = raw.Control(func(fd uintptr) { // where it cannot, the window between the last accept and the close stays
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}
