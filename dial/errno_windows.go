package dial

import "syscall"

// What Winsock says, by what it means for the proxy (winsock2.h). Nobody writes to these.
var (
	refusedErrnos = []syscall.Errno{10061, syscall.ECONNREFUSED}                     // WSAECONNREFUSED
	resetErrnos   = []syscall.Errno{10053, 10054, syscall.ECONNRESET, syscall.EPIPE} // WSAECONNABORTED, WSAECONNRESET
	localErrnos   = []syscall.Errno{10024, 10048, 10049, 10055}                      // WSAEMFILE, WSAEADDRINUSE, WSAEADDRNOTAVAIL, WSAENOBUFS
)
