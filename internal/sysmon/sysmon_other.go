//go:build !linux

package sysmon

// Calm does nothing: there are no such settings here.
func Calm() {}
