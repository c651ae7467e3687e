//go:build !unix

package checker_test

import "testing"

// reservedPort returns a port at which nothing listens.
func reservedPort(t *testing.T) uint16 { return closedPort(t).Port }
