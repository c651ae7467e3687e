package scraper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// outcome is what one reading of a source came to. It belongs to the goroutine
// that reads until settle takes it over.
type outcome struct {
	Result
	haul           *haul
	etag, modified string        // of the first page
	cost           cost          // on the network
	gave           bool          // the Sink has taken the list
	cut            bool          // err came after pages that were read well
	retry          time.Duration // what the server asked for; 0: nothing
	err            error
}

// errPanic is in the error of a list that the reader could not stand.
var errPanic = errors.New("the reader panicked")

// read fetches and parses a source and never panics. m is what is known of the
// copy at hand; samples is how many refusals to keep.
func (s *Scraper) read(ctx context.Context, src Source, m memo, samples int) (o outcome) {
	began := time.Now()
	o.LastRun = s.now()
	o.haul = newHaul(samples, src.Pages != Pages{} || src.Days > 1)
	o.Format = src.As
	defer func() {
		if r := recover(); r != nil {
			o.err = fmt.Errorf("%w: %v", errPanic, r)
			s.env.Log.Error("a reader panicked", "source", src.Name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
		o.Took = time.Since(began)
		o.Candidates, o.Refused = len(o.haul.found), o.haul.refused
		o.Requests, o.Received = o.cost.requests, o.cost.received
		o.Found = nil
	}()
	if src.File != "" {
		o.err = s.readFile(ctx, src, &o)
	} else {
		o.err = s.readPages(ctx, src, m, &o)
	}
	return o
}

// readFile reads a list on disk, within the same limits as one from the network.
// Only regular files: opening a pipe could wait for ever.
func (s *Scraper) readFile(ctx context.Context, src Source, o *outcome) error {
	cfg, slots := s.limits()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	info, err := os.Stat(src.File)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", src.File)
	}
	f, err := os.Open(src.File)
	if err != nil {
		return err
	}
	defer f.Close()
	body, err := decode(f, "", cfg.MaxBytes)
	if err != nil {
		return err
	}
	return s.digest(ctx, src, body, "", o)
}

// limits returns what bounds a request now; Apply may change it for the next one.
func (s *Scraper) limits() (Config, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg, s.slots
}

// readPages fetches the pages of a source one after the other, until one gives
// nothing new; then it goes on with the day before, if there is one. The first
// page is asked for conditionally and speaks for all: the others could not be
// left out of the set that the Sink gets.
func (s *Scraper) readPages(ctx context.Context, src Source, m memo, o *outcome) error {
	targets, err := src.targets(s.now())
	if err != nil {
		return err
	}
	var missing error // the answer to a day that has no list
	read, over := 0, -1
	for i, t := range targets {
		if t.day == over {
			continue
		}
		before := len(o.haul.found)
		q := request{url: t.url, method: src.method(), body: t.body, via: src.viaPool(), header: src.Headers, cost: &o.cost}
		if i == 0 && !src.posts() {
			q.etag, q.modified = m.ETag, m.Modified
		}
		err := s.readPage(ctx, src, q, o)
		switch {
		case isMissing(err) && (read > 0 || src.Days > 1): // a page behind the last one, or a day without a list
			missing, over = err, t.day
			continue
		case err != nil && read > 0:
			o.cut = true
			return fmt.Errorf("page %d: %w", i+1, err)
		case err != nil:
			return err
		case o.NotModified:
			return nil
		}
		if read++; len(o.haul.found) == before {
			over = t.day
		}
	}
	if read == 0 {
		return missing
	}
	return nil
}

// isMissing reports whether err is the answer of a server that has no such page.
func isMissing(err error) bool {
	var status *statusError
	return errors.As(err, &status) && (status.status == http.StatusNotFound || status.status == http.StatusGone)
}

// readPage fetches and parses one page. The time limit covers both, so a page
// that drips is cut, whatever it is made of.
func (s *Scraper) readPage(ctx context.Context, src Source, q request, o *outcome) error {
	cfg, slots := s.limits()
	q.timeout, q.left, q.limit, q.slots = cfg.Timeout, cfg.Timeout, cfg.MaxBytes, slots
	a, err := s.web.get(ctx, q)
	if err != nil {
		var status *statusError
		if errors.As(err, &status) {
			o.Status, o.retry = status.status, status.retry
		}
		return err
	}
	defer a.close()
	o.Status = a.status
	o.Pages++
	if o.Pages == 1 {
		o.etag, o.modified = validator(a.header.Get("ETag")), validator(a.header.Get("Last-Modified"))
	}
	if a.status != http.StatusOK {
		o.NotModified = a.status == http.StatusNotModified
		return nil
	}
	err = s.digest(a.ctx, src, a.body, a.header.Get("Content-Type"), o)
	return explain(a.ctx, err, q.timeout)
}

// digest parses one body into o. kind is the Content-Type, a hint.
func (s *Scraper) digest(ctx context.Context, src Source, body *capped, kind string, o *outcome) error {
	defer func() { o.Bytes += body.n }()
	opt := src.Options()
	opt.Policy, opt.ContentType, opt.Rejected, opt.MaxBytes = s.env.Policy, kind, o.haul.refuse, int64(body.limit)
	opt.Stop = ctx.Err
	opt.Stats = func(st ParseStats) {
		o.Format, o.Packed, o.Charset, o.Rows = st.Format, st.Packed, st.Charset, o.Rows+st.Rows
	}
	for c, err := range s.parse(body, opt) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read the list: %w", err)
		}
		o.haul.take(c)
	}
	return nil
}

// run reads a source, gives what it found to the Sink and notes what came of
// it. The caller has the source's turn. Whatever panics in here, also in the
// Sink, ends this run only.
func (s *Scraper) run(ctx context.Context, st *state) (err error) {
	defer func() {
		if s.env.Ended != nil && ctx.Err() == nil {
			s.env.Ended(s.result(st), err)
		}
	}()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanic, r)
			s.env.Log.Error("a run panicked", "source", st.src.Name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	s.mu.Lock()
	m, asked := st.memo, st.memo.Asked
	s.mu.Unlock()
	if st.err != nil {
		return st.err
	}
	if now := s.now(); asked.After(now) && asked.Before(now.Add(maxHold)) {
		return fmt.Errorf("the server asked to wait until %s", asked.UTC().Format(time.RFC3339))
	}
	o := s.read(ctx, st.src, m, 0)
	if err := ctx.Err(); err != nil && o.err != nil {
		return err // the program ends, or the caller lost patience: nobody failed
	}
	own := s.deliver(ctx, st, m, &o)
	s.settle(st, o, own)
	s.metrics.ran(st.src.Name, o)
	return o.err
}

// deliver judges what was found and gives it to the Sink. Since a set replaces
// the one before, a list that broke off is given only when it is at least half
// of the usual. own reports that an error is the Sink's, not the source's.
func (s *Scraper) deliver(ctx context.Context, st *state, m memo, o *outcome) (own bool) {
	if o.NotModified {
		o.Candidates, o.Refused, o.Format, o.Yield = m.Last.Candidates, m.Last.Refused, m.Last.Format, m.Last.Yield
		return false
	}
	if o.err != nil && (!o.cut || 2*len(o.haul.found) < max(m.Usual, 1)) {
		return false
	}
	if err := suspicious(st.src, o, m.Usual); err != nil {
		o.err = errors.Join(o.err, err)
		return false
	}
	if !s.current(st) {
		return false // dropped, or the name is another list's: nobody wants it any more
	}
	if err := s.give(ctx, st.src, o); err != nil {
		o.err = errors.Join(o.err, fmt.Errorf("keep what was found: %w", err))
		return true
	}
	return false
}

// give tells the Sink what src names now. Nothing at all is taken back only
// from a file, the operator's own word; elsewhere it says nothing.
func (s *Scraper) give(ctx context.Context, src Source, o *outcome) (err error) {
	if len(o.haul.found) == 0 {
		if src.File != "" {
			err = s.env.Sink.Retire(ctx, src.Name)
		}
		return err
	}
	if o.Yield, err = s.env.Sink.Add(ctx, src.Name, o.haul.found); err != nil {
		return err
	}
	o.gave = true
	s.noteGiven(src.Name, true)
	return nil
}

// current reports whether the definition that st was made from is still there.
func (s *Scraper) current(st *state) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.states[st.src.Name]
	return now != nil && now.memo.Print == st.memo.Print
}

// errAlarm is in the error of a list that held far less than usual.
var errAlarm = errors.New("alarm")

// suspicious returns an error when a list that was read well must not replace
// what the source gave before. A file is the operator's own word: emptying a
// small one is meant.
func suspicious(src Source, o *outcome, usual int) error {
	n := len(o.haul.found)
	if err := tooFew(src, n); err != nil {
		return fmt.Errorf("%w; what was there before stays", err)
	}
	switch {
	case isAlarm(n, usual):
		return fmt.Errorf("%w: %d endpoints where about %d are usual; what was there before stays", errAlarm, n, usual)
	case n == 0 && o.Bytes > 0 && src.File == "":
		return fmt.Errorf("no endpoints in %d bytes", o.Bytes)
	}
	return nil
}

// tooFew returns an error when a list holds less than its definition demands.
func tooFew(src Source, n int) error {
	if n >= src.MinYield {
		return nil
	}
	return fmt.Errorf("%w: %d endpoints where min_yield is %d", errAlarm, n, src.MinYield)
}

// settle notes the outcome and plans the next turn. An ETag is noted only after
// the Sink has taken the list, so that nothing is lost between the two.
func (s *Scraper) settle(st *state, o outcome, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.states[st.src.Name]
	if now == nil || now.memo.Print != st.memo.Print {
		return // Apply has dropped the source or given its name to another list
	}
	st = now
	m := &st.memo
	changed := o.gave && m.renew(newSketch(o.haul.found))
	o.Total, o.Changed = m.Last.Total.add(o, changed), m.Last.Changed
	if changed {
		o.Changed = o.LastRun
	}
	m.Last = o.Result
	m.Last.Worth = s.env.Sink.Worth(st.src.Name)
	if o.err == nil {
		m.Failures, m.NotBefore, m.Asked = 0, time.Time{}, time.Time{}
		s.learn(st, o)
	} else {
		m.Last.Err = plain(o.err)
		m.Failures++
		if errors.Is(o.err, errAlarm) {
			m.Usual = fadeUsual(m.Usual)
		}
		s.rest(st, o, own)
	}
	note(s.env.Notebook, st.src.Name, *m)
}

// learn takes over what a good run taught: validators, the usual number, and
// which source this one mirrors or is mirrored by. Only sources of one pool
// mirror each other. The caller holds mu.
func (s *Scraper) learn(st *state, o outcome) {
	m := &st.memo
	if o.NotModified {
		return
	}
	if m.ETag, m.Modified = o.etag, o.modified; st.src.dated() || st.src.posts() {
		m.ETag, m.Modified = "", "" // tomorrow's address is another list; POST has no conditions
	}
	m.Usual = learnUsual(m.Usual, len(o.haul.found))
	mine := readSketch(m.Sketch)
	m.Mirror = ""
	for _, other := range s.states {
		if !other.on || other == st || other.memo.Mirror != "" || other.src.PoolName() != st.src.PoolName() {
			continue
		}
		if mine.alike(readSketch(other.memo.Sketch)) < mirrorShare {
			continue
		}
		if other.rank < st.rank {
			m.Mirror = other.src.Name
			return
		}
		other.memo.Mirror = st.src.Name
		note(s.env.Notebook, other.src.Name, other.memo)
	}
}

// rest plans the next turn after a failure: after the back-off, and not before
// the server wants. Both survive a restart. The caller holds mu.
func (s *Scraper) rest(st *state, o outcome, own bool) {
	now := s.now()
	m := &st.memo
	next := now.Add(backOff(m.Failures, gap(st.sched, now), own || mayPass(o.err)))
	m.Asked = time.Time{}
	if o.retry > 0 {
		m.Asked = now.Add(o.retry)
		if m.Asked.After(next) {
			next = m.Asked
		}
	}
	m.NotBefore = next
	if s.running && st.on {
		st.next = next.Add(s.env.Jitter(min(next.Sub(now)/jitterPart, maxJitter)))
		s.poke()
	}
}

// mayPass reports whether trying again soon makes sense: the network or the
// server is in trouble, the list itself is not known to be bad. A 429 asks for
// fewer requests, not for more.
func mayPass(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.status >= 500 || status.status == http.StatusRequestTimeout
	}
	for _, lasting := range []error{errAlarm, errRefused, errTooLarge, errPanic} {
		if errors.Is(err, lasting) {
			return false
		}
	}
	return true
}

// plain makes an error fit for a terminal: control characters that a server
// put into it are escaped.
func plain(err error) string {
	const longest = 500
	text := clip(err.Error(), longest)
	clean := strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	if !clean {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}
