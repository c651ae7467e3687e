package store_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"freeway/internal/baddisk"
	"freeway/proxy"
	"freeway/store"
)

// childEnv makes the test binary a writer that is to be killed.
const childEnv = "FREEWAY_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if err := baddisk.Launch(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	if arg := os.Getenv(childEnv); arg != "" {
		os.Exit(child(arg))
	}
	os.Exit(m.Run())
}

// child writes batches for ever and prints the range of each when it is
// acknowledged.
func child(arg string) int {
	path, first, _ := strings.Cut(arg, "|")
	if special := modes()[first]; special != nil {
		return special(path)
	}
	next, err := strconv.Atoi(first)
	if err != nil {
		return 2
	}
	s, err := store.Open(path, store.Options{Timeout: 10 * time.Second})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	if w := s.Warnings(); len(w) > 0 {
		fmt.Println("error", w)
		return 1
	}
	fmt.Println("open")
	for i := 0; ; i++ {
		n := []int{1, 5, 20, 1, 3200, 5, 1, 20, 5, 1, 1, 20, 5, 1, 11_000, 1}[i%16]
		if err := s.Save(ctx, proxy.Batch{Put: plain(n, next), Docs: map[string][]byte{"last": strconv.AppendInt(nil, int64(next), 10)}}); err != nil {
			fmt.Println("error", err)
			return 1
		}
		fmt.Println(next, n)
		next += n
		if err := s.Save(ctx, proxy.Batch{Put: plain(n/2, next-n)}); err != nil { // and again
			fmt.Println("error", err)
			return 1
		}
	}
}

// TestKill: threats row 65. A writer is killed at random moments, and all that
// it had acknowledged is there.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const kills = 20
	acknowledged := 0
	for round := range kills {
		acknowledged = writeUntilKilled(t, exe, path, acknowledged)
		began := time.Now()
		s := open(t, path, store.Options{})
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("kill %d: it took %v to open", round, d)
		}
		if w := s.Warnings(); len(w) > 0 {
			t.Fatalf("kill %d: %q", round, w)
		}
		got := load(t, s)
		for _, r := range plain(acknowledged, 0) {
			if _, ok := got[r.Endpoint]; !ok {
				t.Fatalf("kill %d: %s of %d acknowledged is lost", round, r.Endpoint, acknowledged)
			}
		}
		if round%5 == 4 {
			if err := s.Check(ctx); err != nil {
				t.Fatalf("kill %d: Check: %v", round, err)
			}
		}
		closeStore(t, s)
	}
	t.Logf("%d endpoints acknowledged over %d kills", acknowledged, kills)
}

// writeUntilKilled runs a writer and kills it at a random moment after it has
// opened the store. It returns how many records are acknowledged in all.
func writeUntilKilled(t *testing.T, exe, path string, acknowledged int) int {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", childEnv, path, acknowledged))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "error"):
			t.Fatalf("the writer says: %s", line)
		case line == "open":
			time.AfterFunc(time.Duration(rand.IntN(100))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			continue
		}
		var first, n int
		if _, err := fmt.Sscan(line, &first, &n); err == nil {
			acknowledged = first + n
		}
	}
	_ = cmd.Wait() // it was killed
	return acknowledged
}
