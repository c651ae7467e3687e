//go:build !linux

package gateway

import "net"

// inheritKeepAlive leaves the probes of TCP to package net.
func inheritKeepAlive(*net.ListenConfig) {}
