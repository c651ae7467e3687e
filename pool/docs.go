package pool

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"freeway/proxy"
)

// The names of documents in the store begin with what they are.
const (
	docNote     = "note/"      // what the Notebook's users wrote
	docSession  = "session/"   // by session id
	docTarget   = "target/"    // bans of a domain
	docRequests = "requests/"  // the latest, as one document
	docTomb     = "tombstone/" // by endpoint: Unix seconds until when it is kept out
)

// docs is what waits to be written, and the notes, which are read back.
type docs struct {
	mu      sync.Mutex // protects the fields below
	notes   map[string][]byte
	pending map[string][]byte // nil values delete

	off bool // there is no store; never changes
}

// put makes the next flush write a document, or delete it when doc is nil.
func (d *docs) put(name string, doc []byte) {
	if d.off {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if doc == nil && len(d.pending) >= maxPending {
		delete(d.pending, name)
		return
	}
	d.pending[name] = doc
}

// maxPending bounds how many deletions of documents wait for a store that
// cannot be written; what else waits is bounded by what there is. Documents
// that are left for want of a deletion are deleted at the next start.
const maxPending = 2 * maxSessions

// take returns what is to be written.
func (d *docs) take() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.pending
	d.pending = map[string][]byte{}
	return out
}

// giveBack keeps what could not be written, unless there is something newer.
func (d *docs) giveBack(failed map[string][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, doc := range failed {
		if _, newer := d.pending[name]; !newer {
			d.pending[name] = doc
		}
	}
}

// Recall returns what was noted under key, nil for nothing. The caller must
// not change it.
func (p *Pool) Recall(key string) []byte {
	p.docs.mu.Lock()
	defer p.docs.mu.Unlock()
	return p.docs.notes[key]
}

// Note remembers a document across restarts; nil forgets it. It is on disk
// within seconds. The caller must not change doc afterwards.
func (p *Pool) Note(key string, doc []byte) {
	p.docs.mu.Lock()
	if doc == nil {
		delete(p.docs.notes, key)
	} else {
		p.docs.notes[key] = doc
	}
	p.docs.mu.Unlock()
	p.docs.put(docNote+key, doc)
}

// loadDoc takes over a document of the store. What cannot be read is dropped
// with a warning: it is about comfort, not about endpoints.
func (p *Pool) loadDoc(name string, doc []byte, now time.Time) {
	var err error
	kind, rest, _ := strings.Cut(name, "/")
	switch kind + "/" {
	case docNote:
		p.docs.notes[rest] = doc
	case docSession:
		if err = p.sessions.load(doc, now); err == nil && !p.sessions.has(doc) {
			p.docs.put(name, nil)
		}
	case docTarget:
		err = p.targets.make(rest, now).load(doc, now)
	case docRequests:
		err = p.requests.load(doc, now)
	case docTomb:
		err = p.loadTombstone(rest, doc, now)
	}
	if err != nil {
		p.log.Warn("a document of the store cannot be read", "name", name, "error", err)
	}
}

// loadTombstone takes over a tombstone that has not ended; one from the future,
// after the clock was set back, ends in due time all the same.
func (p *Pool) loadTombstone(text string, doc []byte, now time.Time) error {
	ep, err := proxy.Parse(text)
	if err != nil {
		return err
	}
	until, err := strconv.ParseInt(string(doc), 10, 64)
	if err != nil {
		return err
	}
	if latest := now.Add(tombstoneTime).Unix(); until > latest {
		until = latest
		p.docs.put(docTomb+text, strconv.AppendInt(nil, until, 10)) // or each restart would begin it anew
	}
	if until > now.Unix() {
		p.tombs[ep] = until
		return nil
	}
	p.docs.put(docTomb+text, nil)
	return nil
}

// entomb keeps an endpoint out for tombstoneTime. p.mu is held.
func (p *Pool) entomb(ep proxy.Endpoint, now time.Time) {
	until := now.Add(tombstoneTime).Unix()
	p.tombs[ep] = until
	p.docs.put(docTomb+ep.String(), strconv.AppendInt(nil, until, 10))
}

// entombed reports whether the operator has deleted the endpoint lately.
func (p *Pool) entombed(ep proxy.Endpoint, now time.Time) bool {
	until, ok := p.tombs[ep]
	return ok && now.Unix() < until
}

// liftTombstone lets lists bring an endpoint back. p.mu is held.
func (p *Pool) liftTombstone(ep proxy.Endpoint) {
	if _, ok := p.tombs[ep]; ok {
		delete(p.tombs, ep)
		p.docs.put(docTomb+ep.String(), nil)
	}
}
