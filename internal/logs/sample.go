package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Sample is how records that come again and again are thinned out. Its key is
// level and message: of one key the First records in each Every pass, then one
// in Nth. What was left out is said at the end of the time, at the level of
// what was left out, so that an error never disappears unseen.
type Sample struct {
	First int           // 0: everything passes
	Nth   int           // 0: none of those behind First
	Every time.Duration // over 0 where First is
}

// maxKeys bounds the messages told apart. Those beyond share a key for each level.
const maxKeys = 1024

// key is what records are counted by.
type key struct {
	level slog.Level
	msg   string
}

// count is what came of one key since began.
type count struct {
	began      time.Time
	seen, left int
}

// summary is a key with how many records of it were left out.
type summary struct {
	key
	left int
}

// sampler counts records. Its methods may be called from any goroutine.
type sampler struct {
	opt Sample

	mu     sync.Mutex // protects the fields below
	counts map[key]*count
	left   uint64 // records left out, ever
}

// take decides about a record. It also returns what was left out before, when
// the record is the first of a new time.
func (s *sampler) take(now time.Time, level slog.Level, msg string) (pass bool, before summary) {
	if s.opt.First <= 0 {
		return true, summary{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{level, msg}
	c := s.counts[k]
	if c == nil {
		if len(s.counts) >= maxKeys {
			k.msg = ""
			c = s.counts[k]
		}
		if c == nil {
			c = &count{began: now}
			s.counts[k] = c
		}
	}
	if age := now.Sub(c.began); age >= s.opt.Every || age < 0 {
		before = summary{k, c.left}
		*c = count{began: now}
	}
	c.seen++
	if behind := c.seen - s.opt.First; behind > 0 && (s.opt.Nth <= 0 || behind%s.opt.Nth != 0) {
		c.left++
		s.left++
		return false, before
	}
	return true, before
}

// over returns what was left out in times that are over, or with all in those
// that are not, too.
func (s *sampler) over(now time.Time, all bool) []summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []summary
	for k, c := range s.counts {
		if !all && now.Sub(c.began) < s.opt.Every {
			continue
		}
		if c.left > 0 {
			out = append(out, summary{k, c.left})
		}
		delete(s.counts, k)
	}
	return out
}

// total is how many records were left out.
func (s *sampler) total() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

// handler samples before it lets another one write.
type handler struct {
	next slog.Handler
	root slog.Handler // without attributes, for summaries
	s    *sampler
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	pass, before := h.s.take(r.Time, r.Level, r.Message)
	if before.left > 0 {
		h.say(ctx, r.Time, before)
	}
	if !pass {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// say logs that records were left out.
func (h *handler) say(ctx context.Context, now time.Time, s summary) {
	r := slog.NewRecord(now, s.level, "records left out", 0)
	r.AddAttrs(slog.String("of", s.msg), slog.Int("count", s.left))
	h.root.Handle(ctx, r) //nolint:errcheck // a Writer takes everything
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.next.WithAttrs(attrs), h.root, h.s}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.next.WithGroup(name), h.root, h.s}
}
