// Package socks reads and writes the messages of SOCKS4, SOCKS4a and SOCKS5
// (RFC 1928, RFC 1929 and the two memos of Ying-Da Lee), for both sides.
//
// It only turns bytes into values and back: it never dials, never resolves,
// starts no goroutine and sets no deadline. Whoever calls it puts a deadline on
// the connection first. No function reads a byte beyond the message it is named
// after, so what follows a handshake is still in the reader.
package socks
