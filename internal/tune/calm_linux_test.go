package tune

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childOf says, to this program as its own child, that it shall call Server and tell.
// With the value "long" the system has been up for so long that a trace is due.
const childOf = "TUNE_TEST"

func TestMain(m *testing.M) {
	how := os.Getenv(childOf)
	if how == "" {
		os.Exit(m.Run())
	}
	if how == "long" {
		period = recently()
	}
	if how == "gone" {
		files := limits()
		Server()
		fmt.Println(files.Cur > 64, files == limits(), current(), os.Getenv(godebug))
		return
	}
	Server()
	told := make(chan int)
	go func() {
		runtime.LockOSThread() // and never unlocked: a thread that ends with this goroutine
		told <- current()
	}()
	_, marked := os.LookupEnv(mark)
	fmt.Println(os.Getpid(), current(), <-told, marked, os.Getenv(godebug), strings.Join(os.Args[1:], "|"))
	fmt.Fprintln(os.Stderr, "late")
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started it has seen enough
}

// command is a child with more in its environment.
func command(t *testing.T, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "serve", "", "--listen=a b")
	cmd.Env = append(append(os.Environ(), childOf+"=yes"), env...)
	return cmd
}

// child returns the process number of a child, what it tells, and what is in its stderr.
func child(t *testing.T, env ...string) (pid int, said, stderr string) {
	t.Helper()
	cmd := command(t, env...)
	var b bytes.Buffer
	cmd.Stderr = &b
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err, b.String())
	}
	return cmd.Process.Pid, strings.TrimSpace(string(out)), b.String()
}

// recently is a period that has passed once since the start of the system; the
// next trace comes when the system is almost twice as old.
func recently() int64 {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		panic(err)
	}
	return up.Nano() / int64(time.Millisecond) * 3 / 4
}

// limits are those on open files.
func limits() (files unix.Rlimit) {
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		panic(err)
	}
	return files
}

// TestGone: a program that cannot be executed again, because its file is gone, stays as it was,
// with all the files that the runtime lets it open.
func TestGone(t *testing.T) {
	program, err := os.ReadFile(os.Args[0])
	name := filepath.Join(t.TempDir(), "program")
	if err := errors.Join(err, os.WriteFile(name, program, 0o700)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err := errors.Join(err, os.Remove(name)); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "ulimit -Sn 64 && exec /proc/self/fd/3")
	cmd.Env = append(os.Environ(), childOf+"=gone", godebug+"=")
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := fmt.Sprintf("true true %d", current()); strings.TrimSpace(string(out)) != want {
		t.Errorf("that the runtime raised the limit, that it is the same afterwards, and the slack are %q, want %q", out, want)
	}
}

// wide is the slack after Server: what there was if that was more.
func wide() int { return max(current(), int(Slack)) }

func TestServer(t *testing.T) {
	for _, debug := range []string{"", "asyncpreemptoff=1"} {
		for _, up := range []string{"yes", "long"} {
			pid, said, stderr := child(t, godebug+"="+debug, childOf+"="+up)
			if want := fmt.Sprintf("%d %d %d false %s serve||--listen=a b", pid, wide(), wide(), debug); said != want {
				t.Errorf("%s: the process, the slack of two threads, whether the mark is there, GODEBUG and the arguments are %q, want %q", up, said, want)
			}
			if want := "late\n"; stderr != want {
				t.Errorf("%s: stderr is %q, want %q", up, stderr, want)
			}
		}
	}
}

// TestOnce is a system that keeps neither: a second execution would be followed by a third.
func TestOnce(t *testing.T) {
	pid, said, stderr := child(t, godebug+"=", mark+"=0 0 ")
	if want := fmt.Sprintf("%d %d %d false  serve||--listen=a b", pid, current(), current()); said != want || stderr != "late\n" {
		t.Errorf("the process, the slack of two threads, whether the mark is there, GODEBUG and the arguments are %q, want %q; stderr is %q", said, want, stderr)
	}
}

// TestOwnTrace: who names schedtrace gets what it says.
func TestOwnTrace(t *testing.T) {
	debug := fmt.Sprintf("schedtrace=%d", recently())
	cmd := command(t, godebug+"="+debug)
	in, err1 := cmd.StdinPipe()
	stderr, err2 := cmd.StderrPipe()
	var said bytes.Buffer
	cmd.Stdout = &said
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "SCHED ") {
	}
	if lines.Text() == "" {
		t.Error("no trace")
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil || !strings.Contains(said.String(), " "+debug+" ") {
		t.Errorf("GODEBUG is not in %q, or %v", &said, err)
	}
}

func TestUntraced(t *testing.T) {
	said := "init a @1 ms\nSCHED 0ms: gomaxprocs=2 [ 0 0 ]\ninit b @2 ms\n"
	if got := string(untraced([]byte(said))); got != "init a @1 ms\ninit b @2 ms\n" {
		t.Errorf("%q", got)
	}
}

// TestEnviron: what GODEBUG says already comes last, and holds.
func TestEnviron(t *testing.T) {
	t.Setenv(godebug, "adaptivestackstart=1,gctrace=1")
	env, traced := environ([]string{"adaptivestackstart=0"})
	want := fmt.Sprintf("%s=adaptivestackstart=0,schedtrace=%d,adaptivestackstart=1,gctrace=1", godebug, period)
	if traced || !slices.Contains(env, want) || slices.ContainsFunc(env, func(s string) bool { return s != want && strings.HasPrefix(s, godebug+"=") }) {
		t.Errorf("traced %v, want %s in %v", traced, want, env)
	}
	t.Setenv(godebug, "schedtrace=1000")
	if _, traced := environ(nil); !traced {
		t.Error("a trace is not seen")
	}
}
