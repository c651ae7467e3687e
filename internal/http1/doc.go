// Package http1 reads HTTP/1.x heads and bodies strictly, byte by byte, and
// writes them in one normal form. What two readers could understand in two ways
// is an error (RFC 9112 sections 2.2, 5 and 6.3), so nothing that was read here
// and written again can mean something else further on.
//
// Requests are held to the letter. Answers are foreign to both sides, so the
// few liberties that RFC 9112 grants a recipient are taken there and cleaned
// away: lines that end in a lone LF, folded lines, blanks before the colon, a
// missing reason phrase. Everything read has a limit; deadlines are the caller's.
package http1
