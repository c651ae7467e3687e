// Package lab is a proxy internet on loopback: thousands of upstream proxies in
// one process, good, slow, dead, flapping, lying and tampering ones, each on
// its own address 127.x.y.z and leaving from it; lists of them, targets and
// judges to reach through them, and the ground truth about every one.
//
// It is for testing whatever uses proxies, and safe to run anywhere: it listens
// on loopback only, resolves no name but those of its own table, and dials
// nothing but loopback addresses.
//
// A seed makes it reproducible: the same seed and configuration give the same
// endpoints (ports that are taken aside), behaviours, latencies and schedules.
// Certificates are new in every run.
package lab
