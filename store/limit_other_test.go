//go:build !linux

package store_test

func limited(string) int { return 2 }
