package tune

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// period is the longest time between two traces, in milliseconds.
var period int64 = math.MaxInt32

// patience bounds the wait for the first trace.
const patience = time.Second

// calm sets the slack, the trace and what more GODEBUG is to hold, as far as they are
// not set already. A thread has the slack of the one that started it, and sysmon starts
// before any code of the program; but the slack stays over execve(2), as the
// environment does.
func calm(more ...string) {
	if told, again := os.LookupEnv(mark); again {
		settle(told)
		return
	}
	runtime.LockOSThread() // whose slack the new program gets
	defer runtime.UnlockOSThread()
	env, traced := environ(more)
	slack := current()
	wide := slack <= 0 || slack >= int(Slack)
	if wide && traced {
		return
	}
	path, err := os.Executable()
	if err != nil {
		return
	}
	if !wide {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(Slack), 0, 0, 0)
	}
	var h hidden
	if !traced && due() {
		h = hide()
	}
	var files unix.Rlimit
	known := unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil
	_ = unix.Exec(path, os.Args, append(env, fmt.Sprintf("%s=%d %d %s", mark, h.stderr, h.read, os.Getenv(godebug))))
	h.show(0)
	if known {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &files) // Exec has put back the lower one that the program was started with
	}
	if !wide {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) // not one thread alone
	}
}

// settle does what is left to do after the execution: it takes the mark and the
// setting out of the environment, and puts stderr back.
func settle(told string) {
	_ = os.Unsetenv(mark)
	parts := strings.SplitN(told, " ", 3)
	if len(parts) != 3 {
		return
	}
	if before := parts[2]; before == "" {
		_ = os.Unsetenv(godebug)
	} else {
		_ = os.Setenv(godebug, before)
	}
	var h hidden
	h.stderr, _ = strconv.Atoi(parts[0])
	h.read, _ = strconv.Atoi(parts[1])
	h.show(patience)
}

const godebug = "GODEBUG"

// environ returns the environment of the new program, and whether schedtrace is
// named in it already. Who names something in GODEBUG keeps that: the last one holds.
func environ(more []string) (env []string, traced bool) {
	debug := os.Getenv(godebug)
	if strings.Contains(debug, "schedtrace=") {
		return os.Environ(), true
	}
	for _, s := range os.Environ() {
		if !strings.HasPrefix(s, godebug+"=") {
			env = append(env, s)
		}
	}
	set := append(more, fmt.Sprintf("schedtrace=%d", period))
	if debug != "" {
		set = append(set, debug)
	}
	return append(env, godebug+"="+strings.Join(set, ",")), false
}

// current returns the slack of the calling thread in nanoseconds, 0 when it is unknown.
func current() int {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return ns
}

// due reports whether the first trace is written at once: the runtime counts from
// the start of the system.
func due() bool {
	var up unix.Timespec
	return unix.ClockGettime(unix.CLOCK_MONOTONIC, &up) == nil && up.Nano() >= (time.Duration(period)*time.Millisecond).Nanoseconds()
}

// hidden is stderr while a pipe is in its place. The zero value is none.
type hidden struct{ stderr, read int }

// hide puts a pipe in the place of stderr, to keep the first trace out of it.
func hide() hidden {
	var p [2]int
	if unix.Pipe2(p[:], 0) != nil {
		return hidden{}
	}
	defer unix.Close(p[1])
	h := hidden{read: p[0]}
	var err error
	if h.stderr, err = unix.Dup(unix.Stderr); err != nil || unix.Dup3(p[1], unix.Stderr, 0) != nil {
		_ = unix.Close(h.read)
		return hidden{}
	}
	return h
}

// show waits for the trace as long as it is told, and puts stderr back. What else
// was written meanwhile comes after all.
func (h hidden) show(wait time.Duration) {
	if h == (hidden{}) {
		return
	}
	said := h.trace(wait)
	_ = unix.Dup3(h.stderr, unix.Stderr, 0) // which ends the pipe
	_ = unix.Close(h.stderr)
	pipe := os.NewFile(uintptr(h.read), "stderr")
	rest, _ := io.ReadAll(pipe)
	_ = pipe.Close()
	_, _ = os.Stderr.Write(untraced(append(said, rest...)))
}

// untraced returns what is not a trace.
func untraced(said []byte) (out []byte) {
	for line := range bytes.Lines(said) {
		if !bytes.HasPrefix(line, traceStart) {
			out = append(out, line...)
		}
	}
	return out
}

// traceStart is how a trace begins.
var traceStart = []byte("SCHED ")

// trace reads until there is one.
func (h hidden) trace(wait time.Duration) (said []byte) {
	b := make([]byte, 4096) // what a pipe takes in one piece
	for end := time.Now().Add(wait); ; {
		left := time.Until(end)
		if left <= 0 {
			return said
		}
		switch n, err := unix.Poll([]unix.PollFd{{Fd: int32(h.read), Events: unix.POLLIN}}, int(left.Milliseconds())+1); {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return said
		}
		n, err := unix.Read(h.read, b)
		if err != nil || n == 0 {
			return said
		}
		said = append(said, b[:n]...)
		if i := bytes.LastIndex(said, traceStart); i >= 0 && said[len(said)-1] == '\n' {
			return said
		}
	}
}
