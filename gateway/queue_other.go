//go:build !linux

package gateway

import "syscall"

// refuseNew does nothing: the window between the last accept and the close stays.
func refuseNew(syscall.RawConn) {}
