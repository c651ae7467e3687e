package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"freeway/config"
)

// TestWatchFollowsMore: further files are followed, those that are named later
// as well, and one that goes is told of.
func TestWatchFollowsMore(t *testing.T) {
	t.Parallel()
	first, second := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "key")
	put(t, first, "a")
	put(t, second, "a")
	var mu sync.Mutex
	names := []string{first}
	moved := make(chan []string, 100)
	opt := config.WatchOptions{Settle: 5 * time.Millisecond, Poll: time.Hour, Moved: func(n []string) { moved <- n },
		More: func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(names)
		}}
	watching(t, "", opt)
	signal := func(want string) <-chan struct{} {
		out := make(chan struct{}, 1)
		go func() {
			for n := range moved {
				if slices.Contains(n, want) {
					out <- struct{}{}
					return
				}
			}
		}()
		return out
	}
	mustChange(t, signal(first), "a change", func(i int) { put(t, first, string(rune('b'+i))) })
	mu.Lock()
	names = append(names, second)
	mu.Unlock()
	mustChange(t, signal(second), "a change of a file that was named later", func(i int) {
		put(t, first, string(rune('p'+i))) // makes Watch look, and so learn of the other
		put(t, second, string(rune('b'+i)))
	})
	mustChange(t, signal(first), "a file that goes", func(i int) {
		if i%2 == 1 {
			put(t, first, "back")
		} else if err := os.Remove(first); err != nil {
			t.Fatal(err)
		}
	})
}
