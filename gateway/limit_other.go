//go:build !unix

package gateway

// defaultConns is used where there is no file limit to go by.
func defaultConns() int { return 10_000 }
