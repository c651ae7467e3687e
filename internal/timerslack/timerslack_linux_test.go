package timerslack

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// childOf says, to this program as its own child, that it shall widen its slack and tell.
const childOf = "TIMERSLACK_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childOf) == "" {
		os.Exit(m.Run())
	}
	Widen()
	told := make(chan int)
	go func() {
		runtime.LockOSThread() // and never unlocked: a thread that ends with this goroutine
		told <- current()
	}()
	_, marked := os.LookupEnv(mark)
	fmt.Println(os.Getpid(), current(), <-told, marked, strings.Join(os.Args[1:], "|"))
}

// child returns the process number of a child and what it tells.
func child(t *testing.T, env ...string) (pid int, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "serve", "", "--listen=a b")
	cmd.Env = append(append(os.Environ(), childOf+"=1"), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, strings.TrimSpace(string(out))
}

func TestWiden(t *testing.T) {
	pid, said := child(t)
	if want := fmt.Sprintf("%d %d %d false serve||--listen=a b", pid, Slack, Slack); said != want {
		t.Errorf("the process, the slack of two threads, whether the mark is there, and the arguments are %q, want %q", said, want)
	}
}

// TestOnce is a system that does not keep the slack: a second execution would be followed by a third.
func TestOnce(t *testing.T) {
	pid, said := child(t, mark+"=1")
	if want := fmt.Sprintf("%d %d %d false serve||--listen=a b", pid, current(), current()); said != want {
		t.Errorf("the process, the slack of two threads, whether the mark is there, and the arguments are %q, want %q", said, want)
	}
}
