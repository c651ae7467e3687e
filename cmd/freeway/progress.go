package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// bar is the progress of a scan, on a terminal only. A nil bar does nothing.
type bar struct {
	container *mpb.Progress
	bar       *mpb.Bar
	live      atomic.Int64 // shown beside the bar
}

// newBar shows how long it has taken, not how long it will: the refused are done
// at once and the silent ones come last. It returns nil when stderr is no terminal, a dumb one, or --quiet was given.
func (a *app) newBar(total int) *bar {
	if a.quiet || !a.canMove(a.stderr) {
		return nil
	}
	b := &bar{container: mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(40), mpb.WithAutoRefresh())}
	b.bar = b.container.AddBar(int64(total),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.CountersNoUnit("%d of %d checked")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return fmt.Sprintf("%d live, ", b.live.Load()) }),
			decor.Elapsed(decor.ET_STYLE_GO)))
	return b
}

// advance moves the bar by n and shows how many are live.
func (b *bar) advance(n, live int) {
	if b != nil {
		b.live.Store(int64(live))
		b.bar.IncrBy(n)
	}
}

// shares reports whether out is a terminal on which the bar is shown.
func (b *bar) shares(out io.Writer) bool {
	f, ok := out.(*os.File)
	return b != nil && ok && term.IsTerminal(int(f.Fd()))
}

// Write prints above the bar.
func (b *bar) Write(p []byte) (int, error) { return b.container.Write(p) }

// end removes the bar.
func (b *bar) end() {
	if b != nil {
		b.bar.Abort(true)
		b.container.Wait()
	}
}
