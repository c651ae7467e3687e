// Package baddisk lets tests run a program on a disk that they control: they
// see each call by which it changes files before the kernel does, and may hold
// it or let it fail. The program needs no hooks, and the test no privileges:
// the kernel asks the test by way of a seccomp filter (seccomp_unotify(2)). It
// works on Linux, on amd64 and arm64. Only tests use it.
package baddisk
