package logs

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Options is how a Log is written.
type Options struct {
	JSON   bool
	Level  slog.Leveler // nil: info
	Sample Sample
	File   string // appended to; "": Stderr is written to
	FileOptions
	Stderr io.Writer        // required without File
	Now    func() time.Time // nil: time.Now; for the times that summaries carry
}

// Log is where the records of a program go. Make one with Open.
type Log struct {
	logger  *slog.Logger
	handler *handler
	writer  *Writer
	now     func() time.Time
	told    Stats // what has been said of lost records; of the writing goroutine
}

// Stats counts records that were not written.
type Stats struct {
	Sampled uint64 // left out because many others like them were written
	Lost    uint64 // the queue was full
	Failed  uint64 // the file or stream did not take them
}

// Open begins to write. Close must be called at the end.
func Open(opt Options) (*Log, error) {
	sink := io.Writer(bare{opt.Stderr})
	if opt.File != "" {
		f, err := OpenFile(opt.File, opt.FileOptions)
		if err != nil {
			return nil, err
		}
		sink = f
	}
	l := &Log{now: opt.Now}
	if l.now == nil {
		l.now = time.Now
	}
	begun := make(chan struct{}) // the goroutine must not tick before there is a handler
	l.writer = NewWriter(sink, func() { <-begun; l.tick() })
	var next slog.Handler
	if o := (&slog.HandlerOptions{Level: opt.Level}); opt.JSON {
		next = slog.NewJSONHandler(l.writer, o)
	} else {
		next = slog.NewTextHandler(l.writer, o)
	}
	l.handler = &handler{next: next, root: next, s: &sampler{opt: opt.Sample, counts: map[key]*count{}}}
	l.logger = slog.New(l.handler)
	close(begun)
	return l, nil
}

// bare hides that a stream can be closed: stderr is not ours.
type bare struct{ io.Writer }

// Logger returns the logger. It may be used until Close and does nothing afterwards.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Stats returns what was not written so far.
func (l *Log) Stats() Stats {
	return Stats{Sampled: l.handler.s.total(), Lost: l.writer.Lost(), Failed: l.writer.Failed()}
}

// Err is what is wrong with the file or stream, nil for nothing.
func (l *Log) Err() error { return l.writer.Err() }

// Reopen opens the file anew, in its own time. Without one it does nothing.
func (l *Log) Reopen() { l.writer.Reopen() }

// Close writes what waits, for at most the given time. It may be called more than once.
func (l *Log) Close(patience time.Duration) error { return l.writer.Close(patience) }

// tick says what was left out and what was lost.
func (l *Log) tick() {
	select {
	case <-l.writer.stop:
		l.summarize(true)
	default:
		l.summarize(false)
	}
}

// summarize is tick; all is set at the end.
func (l *Log) summarize(all bool) {
	now, ctx := l.now(), context.Background()
	for _, s := range l.handler.s.over(now, all) {
		l.handler.say(ctx, now, s)
	}
	if s := l.Stats(); s.Lost > l.told.Lost || s.Failed > l.told.Failed {
		r := slog.NewRecord(now, slog.LevelError, "log records were lost", 0)
		r.AddAttrs(slog.Uint64("queue_full", s.Lost-l.told.Lost), slog.Uint64("not_written", s.Failed-l.told.Failed))
		if l.Err() == nil && l.writer.waiting.Load() < maxBytes/2 { // else that would be lost, too
			l.handler.root.Handle(ctx, r) //nolint:errcheck // a Writer takes everything
			l.told = s
		}
	}
}
