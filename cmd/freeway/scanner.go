package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"freeway/checker"
	"freeway/config"
	"freeway/dial"
	"freeway/pool"
	"freeway/proxy"
)

// scan is one run of the scan command. It is the checker's queue: jobs come
// from a pool in memory, and verdicts pass through here on their way back.
type scan struct {
	app     *app
	flags   *scanFlags
	cfg     config.Config
	filter  proxy.Filter
	policy  proxy.AddrPolicy
	printer printer

	pool *pool.Pool // in memory, every entry is due once
	keep *pool.Pool // over the store, for --save; nil: nothing is kept

	feed *feed
	stop context.CancelFunc

	mu      sync.Mutex // protects the fields below
	bar     *bar
	narrow  map[string]struct{} // addresses at which only --protocol counts, as no input said more
	printed map[uint64]struct{} // hashes of endpoints
	live    int
	checked int
	summary summary
	broken  error // the output cannot be written any more
}

// run reads the inputs, checks what they name and says what came of it.
func (s *scan) run(ctx context.Context, args []string) (err error) {
	s.printed, s.narrow = map[uint64]struct{}{}, map[string]struct{}{}
	s.policy = proxy.NewAddrPolicy(s.cfg.Network.AllowUpstreams...)
	if err := s.openPool(ctx); err != nil {
		return err
	}
	if s.flags.save {
		keep, done, err := s.app.openStored(ctx, s.cfg)
		if err != nil {
			return err
		}
		s.keep = keep
		defer func() { err = errors.Join(err, done()) }()
	}
	if _, set := s.app.lookup("GOGC"); !set {
		defer debug.SetGCPercent(debug.SetGCPercent(scanGC))
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	s.feed = s.feedFrom(reading, args)
	<-s.feed.full
	total := s.pool.Len()
	if total > 0 {
		err = s.check(ctx, total)
	}
	stop()
	<-s.feed.done
	if err := errors.Join(err, s.feed.err); err != nil {
		return err
	}
	for _, err := range s.feed.late {
		s.app.complain(err)
	}
	if total == 0 {
		s.app.note("nothing to scan: the inputs name no proxy")
	}
	return s.finish(ctx)
}

// openPool makes the pool that holds the scan.
func (s *scan) openPool(ctx context.Context) error {
	cfg := poolConfig(s.cfg)
	cfg.Once = true
	env := pool.Env{Policy: s.policy}
	db, err := openPlaces(s.cfg)
	if err != nil {
		return err
	}
	env.Geo = db.Lookup // closed with the process: the pool may ask until the end
	p, err := pool.Open(ctx, cfg, env)
	s.pool = p
	return err
}

// wantedOnly takes out of a verdict what was found under protocols that
// neither --protocol nor an input names.
func (s *scan) wantedOnly(v *proxy.Verdict) {
	if len(v.Outcomes) == 0 {
		return
	}
	s.mu.Lock()
	_, ok := s.narrow[v.Outcomes[0].Endpoint.Address()]
	s.mu.Unlock()
	if !ok {
		return
	}
	other := func(ep proxy.Endpoint) bool {
		return !slices.Contains(s.flags.protocols, ep.Protocol) &&
			!slices.ContainsFunc(v.Job.Entries, func(e proxy.Entry) bool { return e.Endpoint == ep })
	}
	v.Found = slices.DeleteFunc(v.Found, func(c proxy.Candidate) bool { return other(c.Endpoint) })
	v.Outcomes = slices.DeleteFunc(v.Outcomes, func(o proxy.Outcome) bool { return other(o.Endpoint) })
}

// check runs the checker over the pool until everything has a verdict, enough
// is live, or ctx ends.
func (s *scan) check(ctx context.Context, total int) error {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	roots, err := trusted(s.cfg.Checker.JudgeCA)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	logCfg := s.cfg.Log
	if s.app.logLevel == "" {
		logCfg.Level = "warn"
	}
	dialer := dial.New(dial.Config{Connect: s.cfg.Checker.ConnectTimeout, Handshake: s.cfg.Checker.Timeout}, dial.Env{Policy: s.policy, Control: s.app.control(), Roots: roots})
	c, err := checker.Open(s.cfg.Checker, checker.Env{Queue: s, Dialer: dialer, Control: s.app.control(), Log: s.app.logger(logCfg, level), Roots: roots})
	if err != nil {
		return err
	}
	s.announce(total, c)
	s.bar = s.app.newBar(s.feed.total(total))
	defer s.bar.end()
	judgeless := make(chan error, 1)
	go func() { judgeless <- s.watchJudges(ctx, c) }()
	err = c.Run(ctx)
	s.stop()
	return errors.Join(err, <-judgeless, s.broken)
}

// scanGC is how much garbage, in percent of what is in use, a scan lets lie: its
// garbage comes from thousands of checks at once, and little of it is worth the memory.
const scanGC = 30

// announce says what is about to happen.
func (s *scan) announce(total int, c *checker.Checker) {
	judges := "public judges, at most 2 requests a second each"
	if n := len(s.cfg.Checker.Judges); n > 0 {
		judges = fmt.Sprintf("%d judges of your own", n)
	}
	rate := "without a limit on connections"
	if r := s.cfg.Checker.Rate; r > 0 {
		rate = fmt.Sprintf("at most %g connections a second", r)
	}
	n, about := s.feed.total(total)
	s.app.note("scanning %s%d proxies with %s, %s, %s", about, n, judges, rate, timeouts(s.cfg.Checker))
}

// timeouts says how long is waited.
func timeouts(c checker.Config) string {
	if c.FixedTimeouts {
		return fmt.Sprintf("time-outs %v to connect and %v a step", c.ConnectTimeout, c.Timeout)
	}
	return fmt.Sprintf("time-outs as live ones need, at most %v to connect and %v a step", c.ConnectTimeout, c.Timeout)
}

// watchJudges ends a scan that cannot begin because no judge can be reached, and
// one whose controls fail.
func (s *scan) watchJudges(ctx context.Context, c *checker.Checker) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		st := c.Status()
		if st.Doubt != "" { // in a scan nothing would ever end it
			s.stop()
			return fmt.Errorf("the scan is void, what failed says nothing: %s", st.Doubt)
		}
		if err := judgeless(st); err != nil {
			s.mu.Lock()
			begun := s.checked > 0
			s.mu.Unlock()
			if begun {
				continue // it was a judge that went away; the checker tries again
			}
			s.stop()
			return err
		}
	}
}

// Next gives the checker its next job.
func (s *scan) Next(ctx context.Context) (proxy.Job, error) { return s.pool.Next(ctx) }

// Report takes a verdict, prints what it found and counts.
func (s *scan) Report(v proxy.Verdict) {
	s.wantedOnly(&v)
	s.pool.Report(v)
	if len(v.Outcomes) == 0 {
		return // given back unjudged
	}
	if s.keep != nil {
		s.keep.Report(v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	address := v.Outcomes[0].Endpoint.Address()
	s.checked += len(v.Job.Entries)
	s.summary.verdict(&v)
	for _, o := range v.Outcomes {
		if e, ok := s.pool.Find(o.Endpoint); ok {
			s.show(e)
		}
	}
	if s.pool.Checked(&v.Job) {
		delete(s.narrow, address)
	}
	total, about := s.feed.total(s.checked + s.pool.Len())
	s.bar.advance(s.checked, total, about, s.live)
	s.feed.checked()
	if s.flags.limit > 0 && s.live >= s.flags.limit || s.broken != nil {
		s.stop()
	}
}

// show prints an entry once, when it is wanted. s.mu is held.
func (s *scan) show(e proxy.Entry) {
	good := e.State == proxy.Live && s.filter.Match(&e)
	id := hash(e.Endpoint.String())
	if _, again := s.printed[id]; again || !good && !s.flags.all || s.broken != nil {
		return
	}
	if good && s.flags.limit > 0 && s.live >= s.flags.limit {
		return // found while the others were being stopped
	}
	s.printed[id] = struct{}{}
	if good {
		s.live++
		s.summary.live(&e)
	}
	s.broken = s.printer.print(e)
}

// finish completes the output and judges the result.
func (s *scan) finish(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.broken, s.printer.close()); err != nil {
		return err
	}
	ended := ""
	if ctx.Err() != nil {
		ended = ", interrupted"
	}
	s.app.note("%d live of %d checked%s", s.live, s.checked, ended)
	if text := s.summary.text(); text != "" {
		s.app.note("%s", strings.TrimSuffix(text, "\n"))
	}
	if s.live < s.flags.minLive {
		return fmt.Errorf("%d live, fewer than the %d of --min-live", s.live, s.flags.minLive)
	}
	if s.feed.unread {
		return errQuiet // it has been said
	}
	return nil
}

// screen is where rows go: above the progress bar when both share a terminal.
func (s *scan) screen(out io.Writer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		if s.bar.shares(out) {
			return s.bar.Write(p)
		}
		return out.Write(p)
	})
}

type writerFunc func([]byte) (int, error)

// Write calls the function.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// judgeless returns why nothing can be checked, nil while that is not sure.
func judgeless(st checker.Status) error {
	if !st.Frozen || len(st.Judges) == 0 {
		return nil
	}
	var why []string
	for _, j := range st.Judges {
		if j.Up || j.LastProbe.IsZero() {
			return nil
		}
		why = append(why, fmt.Sprintf("%s: %s", j.URL, j.Error))
	}
	return fmt.Errorf("no judge can be used: %s", strings.Join(why, "; "))
}
