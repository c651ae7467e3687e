package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"os"
	"slices"
	"sync"

	"freeway/pool"
	"freeway/proxy"
	"freeway/store"
)

// feedAhead is how many candidates wait for their check before no more are read, so that
// the memory of a scan does not grow with its lists. All that are read take turns: what
// is spread over many networks and sources is better off the more there are.
const feedAhead = 20_000

// feed reads the inputs of a scan into its pool while that is being checked. Its goroutine
// ends when all is read or its context has ended.
type feed struct {
	s    *scan
	r    *reader
	args []string
	size int64         // bytes of the inputs; 0: not all are files
	room chan struct{} // told when the pool has become smaller; holds one
	full chan struct{} // closed when the pool is full for the first time, or all is read
	done chan struct{} // closed when the goroutine has ended
	once sync.Once     // closes full

	seen addresses // what was given to the pool

	// After done:
	err    error
	unread bool    // an input could not be read
	late   []error // what has to be said and would have been in the way
}

// feedFrom begins to read.
func (s *scan) feedFrom(ctx context.Context, args []string) *feed {
	f := &feed{s: s, args: args, size: s.sizeOf(args), r: &reader{app: s.app, cfg: s.cfg, policy: s.policy, as: "auto"},
		room: make(chan struct{}, 1), full: make(chan struct{}), done: make(chan struct{})}
	release := s.pool.Hold()
	go func() {
		defer f.filled()
		defer close(f.done)
		defer release()
		f.err = f.gather(ctx)
	}()
	return f
}

// complain says that an input could not be read.
func (f *feed) complain(err error) {
	f.say(err)
	f.unread = true
}

// say prints an error, at the end where there may be a bar on the screen.
func (f *feed) say(err error) {
	select {
	case <-f.full:
		f.late = append(f.late, err)
	default:
		f.s.app.complain(err)
	}
}

// filled says that there is something to begin with.
func (f *feed) filled() { f.once.Do(func() { close(f.full) }) }

// ended reports whether all is read.
func (f *feed) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// sizeOf returns how many bytes all inputs hold, 0 when that cannot be known.
func (s *scan) sizeOf(args []string) (size int64) {
	if s.flags.sources || s.flags.store {
		return 0
	}
	for _, arg := range args {
		if kindOf(arg) == inputProxy {
			continue
		}
		info, err := os.Stat(arg)
		if err != nil || !info.Mode().IsRegular() {
			return 0
		}
		size += info.Size()
	}
	return size
}

// moreThan is in front of a number of which only that is known.
const moreThan = "more than "

// total returns how many proxies there are, of which so many are known, and what to say in
// front of the number: nothing, "about", or "more than".
func (f *feed) total(known int) (n int, about string) {
	took := f.r.took.Load()
	switch {
	case f.ended():
		return known, ""
	case f.size > 0 && took > 0:
		return int(max(float64(known)*float64(f.size)/float64(took), float64(known))), "about "
	}
	return known, moreThan
}

// checked says that the pool has become smaller.
func (f *feed) checked() {
	select {
	case f.room <- struct{}{}:
	default:
	}
}

// paced yields what read does, each once, and waits while too many wait for their check.
// What is there already is let pass as long as the pool has it, which learns who else names it.
func (f *feed) paced(ctx context.Context, found iter.Seq[proxy.Candidate]) iter.Seq[proxy.Candidate] {
	return func(yield func(proxy.Candidate) bool) {
		n := 0
		for c := range found {
			if f.repeated(&c) {
				if _, ok := f.s.pool.Find(c.Endpoint); !ok {
					continue
				}
			}
			if n++; n%feedEvery == 0 && !f.wait(ctx) {
				return
			}
			if !yield(c) {
				return
			}
		}
	}
}

// feedEvery is after how many candidates it is asked whether there is room.
const feedEvery = 500

// wait waits until there is room. It reports false when ctx has ended.
func (f *feed) wait(ctx context.Context) bool {
	for f.s.pool.Len() >= f.s.app.ahead {
		f.filled()
		select {
		case <-f.room:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// repeated reports whether the candidate was given to the pool before. A guess says
// no more than any that names its address, unless --protocol says what it means.
func (f *feed) repeated(c *proxy.Candidate) bool {
	as := kinds(1) << c.Endpoint.Protocol
	if c.Guess {
		as = guessed
	}
	before := f.seen.add(hash(c.Endpoint.User+"@"+c.Endpoint.Address()), as)
	if c.Guess && len(f.s.flags.protocols) == 0 {
		return before != 0
	}
	return before&as != 0
}

var seed = maphash.MakeSeed()

// hash stands for a text where there are many and none is looked at again.
func hash(s string) uint64 { return maphash.String(seed, s) }

// kinds says as what an address was named: a bit for each protocol, and one for a guess.
type kinds uint8

const guessed kinds = 1

const kindBits = 5 // of kinds

// addresses remembers as what each address was named, by its hash, in 11 to 21 bytes: a
// map would take three times as much. Of a million, two are taken for the same
// with a probability of 1 in a million. The zero value is empty.
type addresses struct {
	slots []uint64 // an open-addressing table: hash and kinds, 0 is empty; a power of two of them, at most three quarters in use
	count int
}

// add notes as what an address is named, and returns as what it was before.
func (a *addresses) add(hash uint64, as kinds) (before kinds) {
	if 4*(a.count+1) > 3*len(a.slots) {
		a.grow()
	}
	s := a.slot(hash)
	if *s == 0 {
		a.count++
		*s = hash &^ (1<<kindBits - 1)
	}
	before = kinds(*s & (1<<kindBits - 1))
	*s |= uint64(as)
	return before
}

// slot finds the place of an address: its own, or where it belongs.
func (a *addresses) slot(hash uint64) *uint64 {
	mask := uint64(len(a.slots) - 1)
	for i := hash >> kindBits & mask; ; i = (i + 1) & mask {
		if s := &a.slots[i]; *s == 0 || *s>>kindBits == hash>>kindBits {
			return s
		}
	}
}

// grow doubles the slots.
func (a *addresses) grow() {
	old := a.slots
	a.slots = make([]uint64, max(1024, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			*a.slot(s) = s
		}
	}
}

// gather puts everything into the pool that the inputs name.
func (f *feed) gather(ctx context.Context) error {
	s, r := f.s, f.r
	for _, arg := range f.args {
		n, err := 0, error(nil)
		if e := f.add(ctx, sourceName(arg), func(yield func(proxy.Candidate) bool) { n, err = r.read(ctx, arg, yield) }); e != nil {
			return e
		}
		switch {
		case ctx.Err() != nil:
			return nil // nothing was found so far
		case err != nil && n == 0 && len(f.args) == 1 && !s.flags.sources && !s.flags.store:
			return err
		case err != nil:
			f.complain(err) // and go on with the others
		}
	}
	if s.flags.sources {
		if err := f.gatherSources(ctx, r); err != nil {
			return err
		}
	}
	if s.flags.store {
		return f.gatherStore(ctx)
	}
	return nil
}

// add gives what read yields to the pool of the scan, and with --save to the
// store's. A list is held only for the latter.
func (f *feed) add(ctx context.Context, source string, read iter.Seq[proxy.Candidate]) error {
	s := f.s
	found := read
	if s.keep != nil {
		list := slices.Collect(s.narrowed(found))
		if _, err := s.keep.Add(ctx, source, list); err != nil {
			return stopped(ctx, err)
		}
		found = slices.Values(list)
	}
	_, err := s.pool.AddAll(ctx, source, s.narrowed(f.paced(ctx, found)))
	return stopped(ctx, err)
}

// stopped leaves an error out that says only that ctx has ended.
func stopped(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// narrowed puts those of --protocol in the place of candidates whose input
// names no protocol, and notes their addresses.
func (s *scan) narrowed(found iter.Seq[proxy.Candidate]) iter.Seq[proxy.Candidate] {
	if len(s.flags.protocols) == 0 {
		return found
	}
	return func(yield func(proxy.Candidate) bool) {
		for c := range found {
			if !c.Guess {
				if !yield(c) {
					return
				}
				continue
			}
			s.mu.Lock()
			s.narrow[c.Endpoint.Address()] = struct{}{}
			s.mu.Unlock()
			c.Guess = false
			for _, p := range s.flags.protocols {
				if c.Endpoint.Protocol = p; !yield(c) {
					return
				}
			}
		}
	}
}

// gatherSources fetches every enabled source; one that fails is reported. When
// all fail, the scan has failed.
func (f *feed) gatherSources(ctx context.Context, r *reader) error {
	s := f.s
	tried, failed := 0, 0
	for _, src := range allSources(s.cfg) {
		if !enabled(s.cfg, src) || ctx.Err() != nil {
			continue
		}
		tried++
		var err error
		if e := f.add(ctx, src.Name, func(yield func(proxy.Candidate) bool) { _, err = r.fetch(ctx, src, yield) }); e != nil {
			return e
		}
		if err != nil {
			f.say(fmt.Errorf("source %s: %w", src.Name, err))
			failed++
		}
	}
	f.unread = f.unread || tried > 0 && failed == tried && ctx.Err() == nil
	return nil
}

// gatherStore takes what the store holds, apart from what must never be used.
func (f *feed) gatherStore(ctx context.Context) error {
	s := f.s
	p := s.keep
	if p == nil {
		st, err := store.Open(s.cfg.Store.Path, store.Options{ReadOnly: true})
		if err != nil {
			return lockedHint(err, s.cfg)
		}
		defer st.Close()
		if p, err = pool.Open(ctx, poolConfig(s.cfg), pool.Env{Store: st, Policy: s.policy}); err != nil {
			return err
		}
	}
	_, err := s.pool.AddAll(ctx, "store", s.narrowed(f.paced(ctx, func(yield func(proxy.Candidate) bool) {
		for e := range p.All(proxy.Filter{}) {
			if e.State != proxy.Unsafe && !yield(proxy.Candidate{Endpoint: e.Endpoint, Password: e.Password, Guess: e.Guess, Pool: e.Pool}) {
				return
			}
		}
	})))
	return stopped(ctx, err)
}
