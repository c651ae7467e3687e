// Package dial reaches a target through one proxy: HTTP proxies in absolute form
// and by CONNECT, the same inside TLS to the proxy, SOCKS4, SOCKS4a and SOCKS5.
// Checker and gateway both use it, so a proxy that passed its check is spoken to
// in the same way when it serves.
//
// Names of targets always go to the proxy and are never resolved here. The
// address of the proxy is judged once it is final, in the dialer's Control hook,
// so a name cannot lead to a forbidden place. Every step has a deadline of its
// own, and ending the context ends any step at once and closes the socket.
package dial
