package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: what is written to tty can be read from screen.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("skipped: no pseudo-terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminals here: %v", err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// shown runs a command whose stderr, and stdout if both, are a terminal, and
// returns the exit code and what the screen got.
func shown(t *testing.T, both bool, args ...string) (int, string, string) {
	t.Helper()
	return shownOn(t, "xterm", both, args...)
}

// shownOn is shown on a terminal of a kind.
func shownOn(t *testing.T, kind string, both bool, args ...string) (int, string, string) {
	t.Helper()
	screen, tty := terminal(t)
	var out bytes.Buffer
	var stdout io.Writer = &out
	if both {
		stdout = tty
	}
	read := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		io.Copy(&all, screen) //nolint:errcheck // it fails when the terminal is closed
		read <- all.String()
	}()
	code := run(t.Context(), args, []string{"TERM=" + kind}, strings.NewReader(""), stdout, tty)
	tty.Close()
	return code, out.String(), <-read
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	args := append(scanLab(t, 3, 0), "--min-live", "3")
	code, out, seen := shown(t, false, args...)
	if code != 0 || strings.Count(out, "\n") != 3 || !strings.Contains(seen, "of 3 checked") {
		t.Errorf("scan = %d\nstdout:\n%s\nscreen:\n%q", code, out, seen)
	}
	code, out, seen = shown(t, false, append(args, "--quiet")...)
	if code != 0 || strings.Count(out, "\n") != 3 || seen != "" {
		t.Errorf("scan --quiet = %d\nstdout:\n%s\nscreen:\n%q", code, out, seen)
	}
}

// TestTableOnATerminal: there the default is a table, and rows and bar share the screen.
func TestTableOnATerminal(t *testing.T) {
	t.Parallel()
	args := scanLab(t, 3, 0)
	args = append(args[:1:1], args[3:]...) // without --format txt
	code, _, seen := shown(t, true, args...)
	if code != 0 || !strings.Contains(seen, "PROXY ") || strings.Count(seen, "http://127.") != 3 || !strings.Contains(seen, "3 live of 3 checked") {
		t.Errorf("scan = %d\nscreen:\n%q", code, seen)
	}
	if strings.Contains(seen, "\x1b[3") {
		t.Errorf("there are colours:\n%q", seen)
	}
}

// TestTerminalWithoutASize: some terminals say that they have no rows and no
// columns; the progress is shown all the same, and nothing else is lost.
func TestTerminalWithoutASize(t *testing.T) {
	t.Parallel()
	screen, tty := terminal(t)
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{}); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		io.Copy(&all, screen) //nolint:errcheck // it fails when the terminal is closed
		read <- all.String()
	}()
	args := scanLab(t, 3, 0)
	code := run(t.Context(), append(args[:1:1], args[3:]...), []string{"TERM=xterm"}, strings.NewReader(""), tty, tty)
	tty.Close()
	seen := <-read
	for _, want := range []string{"of 3 checked", " a second", "PROXY ", "3 live of 3 checked", "latency"} {
		if !strings.Contains(seen, want) {
			t.Errorf("scan = %d, %q is not on the screen:\n%q", code, want, seen)
		}
	}
	if n := strings.Count(seen, "http://127."); code != 0 || n != 3 {
		t.Errorf("scan = %d with %d rows, want 0 with 3:\n%q", code, n, seen)
	}
}

// TestDumbTerminal: there nothing moves the cursor.
func TestDumbTerminal(t *testing.T) {
	t.Parallel()
	code, _, seen := shownOn(t, "dumb", true, scanLab(t, 3, 0)...)
	if code != 0 || strings.Contains(seen, "\x1b") || strings.Count(seen, "http://127.") != 3 {
		t.Errorf("scan = %d\nscreen:\n%q", code, seen)
	}
}
