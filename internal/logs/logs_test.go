package logs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"freeway/internal/logs"
)

// patience is more than anything here takes.
const patience = 10 * time.Second

// await waits for something that another goroutine brings about.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it did not happen in time")
		}
	}
}

// noTime leaves the time out, so that texts can be compared.
func noTime(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		_, rest, ok := strings.Cut(line, " level=")
		if !ok {
			rest = line
		}
		out = append(out, strings.TrimSuffix(rest, "\n"))
	}
	return strings.Join(out, "\n")
}

func TestSamples(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		l, err := logs.Open(logs.Options{Stderr: &buf, Sample: logs.Sample{First: 2, Nth: 3, Every: 10 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		log := l.Logger().With("part", "x")
		for i := range 9 { // 0 and 1 pass, then 4 and 7
			log.Info("often", "i", i)
		}
		log.Error("often", "i", 100)
		log.Info("rare")
		time.Sleep(10 * time.Second) // of the bubble's clock; a tick says what was left out
		synctest.Wait()
		for i := range 4 { // 0 and 1 pass
			log.Error("bad", "i", i)
		}
		time.Sleep(9500 * time.Millisecond)
		log.Error("bad", "i", 5)
		if err := l.Close(patience); err != nil {
			t.Error(err)
		}
		want := `INFO msg=often part=x i=0
INFO msg=often part=x i=1
INFO msg=often part=x i=4
INFO msg=often part=x i=7
ERROR msg=often part=x i=100
INFO msg=rare part=x
INFO msg="records left out" of=often count=5
ERROR msg=bad part=x i=0
ERROR msg=bad part=x i=1
ERROR msg=bad part=x i=5
ERROR msg="records left out" of=bad count=2`
		if diff := cmp.Diff(want, noTime(buf.String())); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
		if got := l.Stats(); got != (logs.Stats{Sampled: 7}) {
			t.Errorf("Stats = %+v", got)
		}
	})
}

// TestManyMessages: the keys are bounded; those beyond are sampled together.
func TestManyMessages(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	l, err := logs.Open(logs.Options{Stderr: &buf, JSON: true, Sample: logs.Sample{First: 1, Every: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1024 + 50 {
		l.Logger().Info(fmt.Sprint("message ", i))
	}
	if err := l.Close(patience); err != nil {
		t.Error(err)
	}
	if n := strings.Count(buf.String(), "\n"); n != 1024+1+1 {
		t.Errorf("%d lines, want one for each known message, one for all others and one that says what was left out", n)
	}
	if !strings.Contains(buf.String(), `"level":"INFO","msg":"records left out","of":"","count":49}`) {
		t.Errorf("nothing says what was left out: %q", buf.String()[max(0, buf.Len()-200):])
	}
}

// stuck is a sink that takes nothing until it is let go.
type stuck struct {
	free chan struct{}
	mu   sync.Mutex
	buf  bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

// TestNeverBlocks: a sink that hangs costs records, counted ones, and no time;
// when it takes lines again the log says what is missing.
func TestNeverBlocks(t *testing.T) {
	t.Parallel()
	s := &stuck{free: make(chan struct{})}
	l, err := logs.Open(logs.Options{Stderr: s})
	if err != nil {
		t.Fatal(err)
	}
	const many = 20_000
	for range many {
		l.Logger().Error("it hangs")
	}
	if err := l.Close(time.Millisecond); err == nil {
		t.Error("Close = nil while nothing could be written")
	}
	lost := l.Stats().Lost
	if lost < many-8192 || lost > many-4096 {
		t.Errorf("%d of %d were lost, want all that do not fit into the queue", lost, many)
	}
	close(s.free)
	if err := l.Close(patience); err != nil {
		t.Errorf("Close = %v", err)
	}
	if n := strings.Count(s.buf.String(), "it hangs"); uint64(n) != many-lost {
		t.Errorf("%d records were written, want %d", n, many-lost)
	}
}

// TestQueueIsBoundedInBytes, too: a few huge records do not take the memory.
func TestQueueIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	s := &stuck{free: make(chan struct{})}
	w := logs.NewWriter(s, nil)
	huge := bytes.Repeat([]byte("x"), 1<<20)
	for range 100 {
		w.Write(huge)
	}
	if got := w.Lost(); got < 94 {
		t.Errorf("%d of 100 records of 1 MiB were lost, want all but 4 or 5", got)
	}
	close(s.free)
	if err := w.Close(patience); err != nil {
		t.Error(err)
	}
}

// TestSaysWhatWasLost once lines are taken again.
func TestSaysWhatWasLost(t *testing.T) {
	t.Parallel()
	s := &stuck{free: make(chan struct{})}
	l, err := logs.Open(logs.Options{Stderr: s})
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		l.Logger().Warn("it hangs")
	}
	lost := l.Stats().Lost
	close(s.free)
	await(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.buf.String(), fmt.Sprintf(`level=ERROR msg="log records were lost" queue_full=%d not_written=0`, lost))
	})
	if err := l.Close(patience); err != nil {
		t.Error(err)
	}
}

// TestBrokenPipe: nobody reads any more.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	l, err := logs.Open(logs.Options{Stderr: w})
	if err != nil {
		t.Fatal(err)
	}
	l.Logger().Error("nobody reads this")
	if err := l.Close(patience); err == nil || l.Stats().Failed != 1 {
		t.Errorf("Close = %v with %d failed, want an error and 1", err, l.Stats().Failed)
	}
	if _, err := w.Write(nil); errors.Is(err, os.ErrClosed) {
		t.Error("Close has closed a stream that is not its own")
	}
}

// TestReopenLosesNothing while many log at once.
func TestReopenLosesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	l, err := logs.Open(logs.Options{File: path, JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				l.Logger().Info("a line")
			}
		})
	}
	for i := range 5 {
		await(t, func() bool { return os.Rename(path, fmt.Sprint(path, i)) == nil })
		l.Reopen()
	}
	wg.Wait()
	if err := l.Close(patience); err != nil {
		t.Error(err)
	}
	all := read(t, path)
	for i := range 5 {
		all += read(t, fmt.Sprint(path, i))
	}
	if n := strings.Count(all, `"msg":"a line"}`+"\n"); n != 2000 {
		t.Errorf("%d of 2000 lines are in the files", n)
	}
}

func TestLevelCanChange(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	level := new(slog.LevelVar)
	l, err := logs.Open(logs.Options{Stderr: &buf, Level: level})
	if err != nil {
		t.Fatal(err)
	}
	log := l.Logger().WithGroup("g")
	log.Debug("one")
	level.Set(slog.LevelDebug)
	log.Debug("two", "a", 1)
	if err := errors.Join(l.Close(patience), l.Close(patience)); err != nil {
		t.Error(err)
	}
	log.Error("after the end")
	if got := noTime(buf.String()); got != "DEBUG msg=two g.a=1" {
		t.Errorf("the log holds %q", got)
	}
}

// BenchmarkLog is one record that passes and is written nowhere.
func BenchmarkLog(b *testing.B) {
	l, err := logs.Open(logs.Options{Stderr: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close(patience) //nolint:errcheck // it takes everything
	b.ReportAllocs()
	for b.Loop() {
		l.Logger().Info("a record", "key", "value")
	}
}
