package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// status is a line on a terminal that says how far something is whose end is
// not known. A nil status does nothing.
type status struct {
	out     *os.File
	say     func() string
	stopped chan struct{}
	drawing sync.WaitGroup
}

// watch shows what say returns until end is called. It returns nil where there
// is no bar either, and where results go to a terminal, which they would mix
// with. say is called from another goroutine.
func (a *app) watch(results io.Writer, say func() string) *status {
	out := a.screenLine()
	if out == nil || isTerminal(results) {
		return nil
	}
	s := &status{out: out, say: say, stopped: make(chan struct{})}
	s.drawing.Go(s.run)
	return s
}

// run draws until end is called.
func (s *status) run() {
	tick := time.NewTicker(barEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			overwrite(s.out, strings.Map(printable, s.say()))
		case <-s.stopped:
			return
		}
	}
}

// end removes the line.
func (s *status) end() {
	if s == nil {
		return
	}
	close(s.stopped)
	s.drawing.Wait()
	io.WriteString(s.out, "\r\x1b[K") //nolint:errcheck // nothing depends on it
}
