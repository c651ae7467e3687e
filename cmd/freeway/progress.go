package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// How often a bar is drawn at most, how wide one is where the terminal does not
// know its width, and how long a rate looks back.
const (
	barEvery = 100 * time.Millisecond
	barWidth = 80
	rateOver = 5 * time.Second
)

// bar is the progress of a scan, a line on a terminal only. A nil bar does nothing.
type bar struct {
	out     *os.File
	stopped chan struct{}
	drawing sync.WaitGroup

	mu   sync.Mutex // protects the fields below, and the screen
	pace pace
	live int
}

// newBar returns nil when stderr is no terminal, a dumb one, or --quiet was given.
// It needs no size of the terminal: those that say they have no rows show it, too.
func (a *app) newBar(total int, about string) *bar {
	out := a.screenLine()
	if out == nil {
		return nil
	}
	b := &bar{out: out, stopped: make(chan struct{}), pace: pace{total: total, about: about, began: time.Now()}}
	b.drawing.Go(b.run)
	return b
}

// run draws until end is called.
func (b *bar) run() {
	tick := time.NewTicker(barEvery)
	defer tick.Stop()
	for {
		b.mu.Lock()
		b.draw(time.Now())
		b.mu.Unlock()
		select {
		case <-tick.C:
		case <-b.stopped:
			return
		}
	}
}

// draw writes over the line. b.mu is held.
func (b *bar) draw(now time.Time) {
	b.pace.look(now)
	overwrite(b.out, b.pace.line(b.live, now))
}

// screenLine is the terminal on which progress is shown; nil: stderr is none, a
// dumb one, or --quiet was given.
func (a *app) screenLine() *os.File {
	out, ok := a.stderr.(*os.File)
	if !ok || a.quiet || !a.canMove(out) {
		return nil
	}
	return out
}

// overwrite puts a line, cut to the width, in place of the one before.
func overwrite(out *os.File, line string) {
	width, _, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 {
		width = barWidth
	}
	text := []rune(line)
	fmt.Fprintf(out, "\r%s\x1b[K", string(text[:min(len(text), max(width-1, 1))]))
}

// advance notes how many were checked, of how many, in words like those of feed.total,
// and how many are live.
func (b *bar) advance(done, total int, about string, live int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace.done, b.pace.total, b.pace.about = done, total, about
	b.live = live
}

// shares reports whether out is a terminal on which the bar is shown.
func (b *bar) shares(out io.Writer) bool {
	f, ok := out.(*os.File)
	return b != nil && ok && term.IsTerminal(int(f.Fd()))
}

// Write prints above the bar; whole lines are expected.
func (b *bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := io.WriteString(b.out, "\r\x1b[K"); err != nil {
		return 0, err
	}
	n, err := b.out.Write(p)
	b.draw(time.Now())
	return n, err
}

// end removes the bar.
func (b *bar) end() {
	if b == nil {
		return
	}
	close(b.stopped)
	b.drawing.Wait()
	io.WriteString(b.out, "\r\x1b[K") //nolint:errcheck // nothing depends on it
}

// pace is how far something is and how fast it goes.
type pace struct {
	total, done int
	about       string // in front of the total
	began       time.Time
	marks       []mark // of the last seconds, oldest first
}

// mark is what was done at a moment.
type mark struct {
	at   time.Time
	done int
}

// look notes how far it is now.
func (p *pace) look(now time.Time) {
	for len(p.marks) > 1 && now.Sub(p.marks[0].at) > rateOver {
		p.marks = p.marks[1:]
	}
	p.marks = append(p.marks, mark{now, p.done})
}

// rate is how many were done a second lately: the refused are done at once and the
// silent come last, so that the whole time would say little of what is to come.
func (p *pace) rate(now time.Time) float64 {
	if len(p.marks) == 0 {
		return 0
	}
	first := p.marks[0]
	return float64(p.done-first.done) / max(now.Sub(first.at).Seconds(), barEvery.Seconds())
}

// line is the text of the bar.
func (p *pace) line(live int, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %s%d checked, %d live, ", p.done, p.about, p.total, live)
	rate := p.rate(now)
	fmt.Fprintf(&b, "%.0f a second, %v", rate, now.Sub(p.began).Round(time.Second))
	if left := p.total - p.done; rate > 0 && left > 0 && p.about != moreThan {
		fmt.Fprintf(&b, ", about %v left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	return b.String()
}
