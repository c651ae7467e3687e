package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// runStages runs all parts at once. When ctx ends, or a part fails, it calls
// stopping and then ends the stages one after the other, in order, each whole
// before the next: what feeds others ends first, what others write to ends
// last. It returns the first error of a part.
func runStages(ctx context.Context, stopping func(), stages ...[]part) error {
	g, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	type stage struct {
		end  context.CancelFunc
		done []chan struct{}
	}
	var running []stage
	for _, parts := range stages {
		own, end := context.WithCancel(context.WithoutCancel(ctx))
		s := stage{end: end}
		for _, p := range parts {
			done := make(chan struct{})
			s.done = append(s.done, done)
			g.Go(func() error {
				defer close(done)
				if err := p.run(own); err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				return nil
			})
		}
		running = append(running, s)
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-failed.Done():
		}
		stopping()
		for _, s := range running {
			s.end()
			for _, done := range s.done {
				<-done
			}
		}
		return nil
	})
	return g.Wait()
}
