package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// The line of scrape and demo shows on a terminal, and is gone in the end.
func TestStatusLine(t *testing.T) {
	t.Parallel()
	screen, tty := terminal(t)
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(screen) // fails when the terminal is closed
		read <- string(all)
	}()
	asked := make(chan struct{}, 100)
	a := &app{stderr: tty, environ: []string{"TERM=xterm"}}
	s := a.watch(io.Discard, func() string {
		select {
		case asked <- struct{}{}:
		default:
		}
		return "7 candidates\x1b[2J"
	})
	for range 2 {
		select {
		case <-asked:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is drawn")
		}
	}
	s.end()
	tty.Close()
	if got := <-read; !strings.Contains(got, "7 candidates [2J") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("the screen got %q", got)
	}
	var quiet *status
	quiet.end()
	for name, a := range map[string]*app{"no terminal": {stderr: io.Discard}, "quiet": {stderr: tty, quiet: true}, "dumb": {stderr: tty, environ: []string{"TERM=dumb"}}} {
		if a.watch(io.Discard, nil) != nil {
			t.Errorf("%s: a line is drawn", name)
		}
	}
}
