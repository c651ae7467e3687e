//go:build !linux

package timerslack

// Widen does nothing: there is no such setting here.
func Widen() {}
