//go:build !linux

package tune

// calm does nothing: there are no such settings here.
func calm(...string) {}
