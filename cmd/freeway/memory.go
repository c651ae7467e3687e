package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupMemory is where a container reads how much memory it may use (cgroup v2).
const cgroupMemory = "/sys/fs/cgroup/memory.max"

// limitMemory makes the runtime collect harder before a container's limit is
// reached: at nine tenths of it, unless GOMEMLIMIT says something. It returns the
// limit in bytes, 0 for none.
func limitMemory(file string) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return debug.SetMemoryLimit(-1)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n < 1<<20 {
		return 0 // "max"
	}
	debug.SetMemoryLimit(n / 10 * 9)
	return n / 10 * 9
}
