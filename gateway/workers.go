package gateway

import (
	"context"
	"slices"
	"sync"
)

// maxResting is how many goroutines wait for a connection at most: their stacks
// have grown, and to grow them again for every tunnel costs more than all that
// a tunnel's set-up computes.
const maxResting = 64

// workers are goroutines that served a connection and wait for another one.
type workers struct {
	mu      sync.Mutex // protects the fields below
	resting []chan job // those that rest longest first
	over    bool
}

// job is a connection to serve, or to go on with.
type job struct {
	ctx context.Context
	c   *client
}

// give has the goroutine that rested last serve a connection. It reports false
// when none rests.
func (w *workers) give(j job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.resting) - 1
	if last < 0 {
		return false
	}
	w.resting[last] <- j // has room
	w.resting = slices.Delete(w.resting, last, last+1)
	return true
}

// rest adds a goroutine. It reports false when that is not wanted.
func (w *workers) rest(wake chan job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || len(w.resting) == maxResting {
		return false
	}
	w.resting = append(w.resting, wake)
	return true
}

// thin ends half of those that rest; over: all, and those that come as well.
func (w *workers) thin(over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := (len(w.resting) + 1) / 2
	if over {
		w.over, n = true, len(w.resting)
	}
	for _, wake := range w.resting[:n] {
		close(wake)
	}
	w.resting = slices.Delete(w.resting, 0, n)
}

// work serves a connection in a goroutine of its own or in one that rests.
func (g *Gateway) work(ctx context.Context, c *client) {
	if g.workers.give(job{ctx, c}) {
		return
	}
	g.wg.Go(func() {
		g.serve(ctx, c)
		for wake := make(chan job, 1); g.workers.rest(wake); {
			j, ok := <-wake
			if !ok {
				return
			}
			if j.c.then != nil {
				g.goOn(j.c)
			} else {
				g.serve(j.ctx, j.c)
			}
		}
	})
}
