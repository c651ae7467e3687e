//go:build !linux || !(amd64 || arm64)

package store_test

// modes are what the test binary does as a child; see child.
func modes() map[string]func(string) int { return nil }
