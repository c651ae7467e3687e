// Package sysmon makes the thread of Go's runtime that looks after the others
// (sysmon, runtime/proc.go) cheap, which saves a gateway a quarter of its CPU time.
//
// That thread looks every 20 µs, to which Linux adds the timer slack of 50 µs
// (prctl(2), PR_SET_TIMERSLACK). When it has found nothing to do fifty times it
// doubles the pauses, up to 10 ms; but whenever it happens to look while nothing
// runs it goes to sleep, must be woken by the next call of the system, and begins
// with 20 µs again. A gateway that is not saturated is idle between most
// requests. So two settings are made:
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
package sysmon

import "time"

// Slack is how late timers may be. With 5 ms requests cost the same.
const Slack = time.Millisecond

// mark is in the environment of a process that was started anew.
const mark = "_FREEWAY_SYSMON"
