package lab

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
)

// Bytes returns the n bytes that the targets serve at /bytes/n?seed=seed.
func Bytes(n int, seed string) []byte {
	b := make([]byte, n)
	io.ReadFull(byteStream(seed), b)
	return b
}

// byteStream is endless and never fails.
func byteStream(seed string) io.Reader { return rand.NewChaCha8(sha256.Sum256([]byte(seed))) }
