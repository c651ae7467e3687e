package main

import (
	"context"
	"flag"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMain runs the scripts' freeway command in processes of their own, and
// fails the tests when goroutines are left.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"freeway": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
			stop()
			os.Exit(code)
		},
	})
}

type leakChecked struct{ m *testing.M }

// Run runs the tests, then looks for goroutines that they left.
func (l leakChecked) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "no-config"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GOLDEN", golden)
			// With -race each command would sleep for 1 s when it ends, in case a race is yet to come.
			env.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=20"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code": scriptCode, "lab": scriptLab(t), "cmpgolden": scriptGolden, "occupy": scriptOccupy, "lines": scriptLines, "sorted": scriptSorted,
		},
	})
}

// golden is the folder of the help texts.
var golden = func() string {
	dir, err := filepath.Abs("testdata/help")
	if err != nil {
		panic(err)
	}
	return dir
}()

// scriptCode runs a command and wants an exact exit code: code N command [args].
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%s: %v", strings.Join(args[1:], " "), err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// scriptGolden compares an output with a golden file: cmpgolden stdout name.
func scriptGolden(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmpgolden stdout|stderr|file name")
	}
	got, path := ts.ReadFile(args[0]), filepath.Join(golden, args[1])
	if *update {
		ts.Check(os.MkdirAll(golden, 0o755))
		ts.Check(os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	ts.Check(err)
	if got != string(want) {
		ts.Fatalf("%s differs from %s; go test -update writes it:\n%s", args[0], args[1], got)
	}
}

// scriptOccupy listens on a port until the script ends: occupy VAR.
func scriptOccupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// scriptLines counts lines: lines stderr N.
func scriptLines(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	text := ts.ReadFile(args[0])
	if got := strings.Count(text, "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d:\n%s", args[0], got, want, text)
	}
}

// scriptSorted compares files whatever the order of their lines: sorted a b.
func scriptSorted(ts *testscript.TestScript, _ bool, args []string) {
	lines := func(name string) []string { return slices.Sorted(strings.Lines(ts.ReadFile(name))) }
	if a, b := lines(args[0]), lines(args[1]); !slices.Equal(a, b) {
		ts.Fatalf("%s and %s differ:\n%s\n%s", args[0], args[1], strings.Join(a, ""), strings.Join(b, ""))
	}
}
