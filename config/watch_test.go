package config_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"freeway/config"
)

// watching starts Watch and returns a channel that gets a value per change.
func watching(t *testing.T, path string, opt config.WatchOptions) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	changes, done := make(chan struct{}, 100), make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		close(ready)
		done <- config.Watch(ctx, path, opt, func() { changes <- struct{}{} })
	}()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch = %v", err)
		}
	})
	return changes
}

var fast = config.WatchOptions{Settle: 5 * time.Millisecond, Poll: 20 * time.Millisecond}

// mustChange changes the file until Watch, which may not have begun, sees it.
func mustChange(t *testing.T, changes <-chan struct{}, what string, change func(i int)) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		change(i)
		select {
		case <-changes:
			return
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s was not noticed", what)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatchSeesWrites(t *testing.T) {
	t.Parallel()
	path := write(t, "a")
	changes := watching(t, path, config.WatchOptions{Settle: 5 * time.Millisecond, Poll: time.Hour})
	mustChange(t, changes, "a write", func(i int) { put(t, path, string(rune('b'+i))) })
}

func TestWatchSeesReplacement(t *testing.T) {
	t.Parallel()
	path := write(t, "a")
	changes := watching(t, path, config.WatchOptions{Settle: 5 * time.Millisecond, Poll: time.Hour})
	mustChange(t, changes, "a file moved over it", func(i int) {
		put(t, path+".new", string(rune('b'+i)))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWatchSeesSymlinkSwap does what Kubernetes does with a mounted ConfigMap.
func TestWatchSeesSymlinkSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, data := filepath.Join(dir, "freeway.yaml"), filepath.Join(dir, "..data")
	point := func(i int) {
		version := filepath.Join(dir, "..v"+string(rune('a'+i)))
		if err := os.MkdirAll(version, 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(version, "freeway.yaml"), version)
		if err := os.Symlink(version, data+"_tmp"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(data+"_tmp", data); err != nil {
			t.Fatal(err)
		}
	}
	point(0)
	if err := os.Symlink(filepath.Join("..data", "freeway.yaml"), path); err != nil {
		t.Fatal(err)
	}
	changes := watching(t, path, config.WatchOptions{Settle: 5 * time.Millisecond, Poll: time.Hour})
	mustChange(t, changes, "a moved symlink", func(i int) { point(i + 1) })
}

// TestWatchSeesWhatCameBefore: a change between the load and the watch counts.
func TestWatchSeesWhatCameBefore(t *testing.T) {
	t.Parallel()
	path := write(t, "a")
	since := config.Fingerprint(path)
	put(t, path, "b")
	changes := watching(t, path, config.WatchOptions{Settle: 5 * time.Millisecond, Poll: time.Hour, Since: since})
	select {
	case <-changes:
	case <-time.After(30 * time.Second):
		t.Error("it was not noticed")
	}
}

func TestWatchPolls(t *testing.T) {
	t.Parallel()
	target := write(t, "a") // in another folder, which is not watched
	path := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	changes := watching(t, path, fast)
	mustChange(t, changes, "a change that the system does not tell", func(i int) { put(t, target, string(rune('b'+i))) })
}

// TestWatchIgnoresWhatIsNoChange: what is the same as before is not reported,
// whatever happens in the folder. Every write is a move, so that nobody reads
// half of it, and nothing is written between a change and its report.
func TestWatchIgnoresWhatIsNoChange(t *testing.T) {
	t.Parallel()
	path := write(t, "0")
	opt := fast
	opt.Since = config.Fingerprint(path) // Watch may begin after the first change
	reports := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- config.Watch(ctx, path, opt, func() {
			text, err := os.ReadFile(path)
			if err != nil {
				text = []byte(err.Error())
			}
			reports <- string(text)
		})
	}()
	move := func(text string) {
		put(t, path+".new", text)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	last := "0"
	for i := range 10 {
		next := string(rune('a' + i))
		put(t, filepath.Join(filepath.Dir(path), "neighbour"), next)
		move(last) // the same again
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		move(last)
		move(next)
		select {
		case text := <-reports:
			if text != next {
				t.Fatalf("Watch reported %q, want only %q", text, next)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("the change to %q was not noticed", next)
		}
		last = next
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch = %v", err)
	}
	if n := len(reports); n > 0 {
		t.Errorf("%d more reports than changes", n)
	}
}

// TestWatchInABusyFolder: writes of neighbours do not keep a change from being seen.
func TestWatchInABusyFolder(t *testing.T) {
	t.Parallel()
	path := write(t, "a")
	since := config.Fingerprint(path)
	put(t, path, "b")
	changes := watching(t, path, config.WatchOptions{Settle: time.Second, Poll: time.Hour, Since: since})
	deadline := time.After(time.Minute)
	for {
		put(t, filepath.Join(filepath.Dir(path), "neighbour"), "x")
		select {
		case <-changes:
			return
		case <-deadline:
			t.Fatal("the change was not noticed")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestWatchIgnoresEmpty: an empty file is one that is about to be written.
func TestWatchIgnoresEmpty(t *testing.T) {
	t.Parallel()
	path := write(t, "a")
	looks := make(chan struct{}, 1000)
	opt := fast
	opt.Since = config.Fingerprint(path)
	opt.More = func() []string { looks <- struct{}{}; return nil }
	changes := watching(t, path, opt)
	put(t, path, "")
	for range 3 { // the first may have begun before
		select {
		case <-looks:
		case <-time.After(30 * time.Second):
			t.Fatal("it does not look")
		}
	}
	select {
	case <-changes:
		t.Error("an empty file is a change")
	default:
	}
	mustChange(t, changes, "what was written then", func(int) { put(t, path, "b") })
}
