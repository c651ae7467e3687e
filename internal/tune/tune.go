// Package tune sets Go's runtime up for programs with many connections that each do
// little, which saves a gateway a third of its CPU time.
//
// The thread of the runtime that looks after the others (sysmon, runtime/proc.go)
// looks every 20 µs, to which Linux adds the timer slack of 50 µs (prctl(2),
// PR_SET_TIMERSLACK). When it has found nothing to do fifty times it doubles the
// pauses, up to 10 ms; but whenever it happens to look while nothing runs it goes to
// sleep, must be woken by the next call of the system, and begins with 20 µs again. A
// gateway that is not saturated is idle between most requests. So two settings are
// made, on Linux:
//
//   - a timer slack of a millisecond, and
//   - GODEBUG=schedtrace, which keeps the thread from going to sleep while nothing
//     runs. Its trace is written to stderr, as one line, as rarely as can be: when
//     the system has been up for 24.8 days, and again after so many days.
//
// Where HAProxy needs 1, a keep-alive GET takes 1.8 with neither, 1.6 with the
// slack, 1.4 with the trace and 1.3 with both; a CONNECT 1.8, 1.6, 1.4 and 1.35
// (e2e/bench on one core, 3,000 and 1,000 a second).
//
// The price: with one core a goroutine may be kept from running for up to 10 ms,
// as in every program that is busy, while another one blocks the thread in a call
// of the system, for example with a write to a slow disk; with two cores another
// thread takes over. An idle server wakes a hundred times a second, which cannot
// be told from the 0.5 % of a core that it needs anyway.
//
// A server has two settings more, and one habit:
//
//   - GODEBUG=adaptivestackstart=0, on Linux: stacks begin with 2 KiB. Else they begin
//     with what those have on average that there were at the latest collection, and
//     many tunnels that wait keep twice of what they need (12.6 instead of 11.4 KiB
//     each). Where stacks have grown, they are used again; a CONNECT takes 3 % less.
//   - The heap may always grow to Floor bytes before it is collected. By default it may
//     double. A gateway with few upstreams uses some 4 MB and makes 5 KB of garbage for
//     each tunnel, so at a thousand tunnels a second it is collected at every second
//     tick of the clock: the collector's own work, and what it drives out of the
//     caches, take 7 % of the CPU time of tunnels and 5 % of that of requests. What a
//     collection costs depends on what is in use, not on what is thrown away, so a
//     fixed size to which the heap may grow takes nearly all of that away. With 16 MB half
//     of the gain is left, and 64 MB are too much for the caches.
//   - In calm moments, when less than 1 MB was allocated for a second, what is not needed is
//     collected and given back to the system, if that is more than 4 MB and an eighth of
//     what is in use. Else 5,000 idle tunnels hold what setting them up has left, 4 to 8 KiB each.
package tune

import "time"

// Slack is how late timers may be. With 5 ms requests cost the same.
const Slack = time.Millisecond

// Floor is the size that the heap of a server may always have, in bytes.
const Floor = 32 << 20

// mark is in the environment of a process that was started anew.
const mark = "_FREEWAY_TUNED"

// Server makes all settings. On Linux most of them must be there before the runtime
// starts, so the same program is executed anew with the same arguments, in the same
// process, once. It is for the main function, before anything else: what was done is done
// again, and a signal handler is lost. Where the system does not allow that,
// everything stays as it is. What GODEBUG and GOGC in the environment say holds. stop
// ends what goes on beside the program.
func Server() (stop func()) {
	calm("adaptivestackstart=0")
	lower, end := raise(Floor), giveBack()
	return func() { end(); lower() }
}

// Scan is Server for a program whose goroutines all do the same at once, and which
// ends soon: their stacks, and its garbage, are left to it.
func Scan() { calm() }
