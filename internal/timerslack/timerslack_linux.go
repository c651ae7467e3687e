package timerslack

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Widen gives all threads of the process the slack, unless they have as much
// already. A thread has that of the one that started it, and sysmon starts before
// any code of the program; but the slack stays over execve(2). So Widen sets it
// and executes the same program with the same arguments anew, in the same process,
// once. It is for the main function, before anything else: what was done is done
// again, and a signal handler is lost. Where the system allows none of that,
// everything stays as it is.
func Widen() {
	_, again := os.LookupEnv(mark)
	_ = os.Unsetenv(mark)
	runtime.LockOSThread() // whose slack the new program gets
	defer runtime.UnlockOSThread()
	before := current()
	if again || before <= 0 || before >= int(Slack) {
		return
	}
	path, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(Slack), 0, 0, 0) != nil {
		return
	}
	_ = unix.Exec(path, os.Args, append(os.Environ(), mark+"=1"))
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0) // not one thread alone
}

// current returns the slack of the calling thread in nanoseconds, 0 when it is unknown.
func current() int {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return ns
}
