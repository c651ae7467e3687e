// Package certs keeps the certificates of listeners fresh: it follows the
// files of several pairs, chooses one by the name that a client asks for,
// refuses a pair that is broken and goes on with the one before, and gets
// certificates from an ACME authority when it is told to.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Pair is a certificate and its key, in two files.
type Pair struct {
	Name string `yaml:"name"` // in metrics and the log; default: its place in the list
	Cert string `yaml:"cert"` // PEM file, leaf first
	Key  string `yaml:"key"`  // PEM file
}

// Config is what a Keeper serves. The zero value serves nothing.
type Config struct {
	Pairs    []Pair // the first is the one for names that nobody has
	ClientCA string // PEM file of authorities for certificates of clients; "": none is asked for
	ACME     ACME   // certificates that are fetched; the zero value: none
}

// Env is what a Keeper lives in. The zero value works.
type Env struct {
	Listener string                                              // label of the metrics: gateway or admin
	Log      *slog.Logger                                        // nil: silent
	Metrics  *Metrics                                            // nil: none
	Now      func() time.Time                                    // nil: time.Now
	Control  func(network, addr string, c syscall.RawConn) error // has the last word on connections to the ACME authority; nil: none
}

// Keeper serves certificates. Its methods are safe for concurrent use. Use Open.
type Keeper struct {
	env Env

	served atomic.Pointer[table] // replaced as a whole, never changed
	next   atomic.Int64          // Unix time in ns before which handshakes do not look at the files

	mu      sync.Mutex // protects what is below; held while files are read
	cfg     Config
	entries []*entry
	clients authorities
	acme    *issuer       // nil: none
	wake    chan struct{} // tells Run of an Apply
}

// lookEvery is how often handshakes look at the files, at most. Check does it
// whenever it is called.
const lookEvery = time.Second

// Open reads all pairs; one that cannot be served is an error.
func Open(cfg Config, env Env) (*Keeper, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	k := &Keeper{env: env, wake: make(chan struct{}, 1)}
	k.served.Store(&table{})
	if err := k.Apply(cfg); err != nil {
		return nil, err
	}
	return k, nil
}

// Apply replaces what is served. A pair that was there stays as it is, also when
// its files are broken now; a new one must load. With an error all stays as it was.
func (k *Keeper) Apply(cfg Config) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	entries, err := k.entriesFor(cfg.Pairs)
	if err != nil {
		return err
	}
	clients := k.clients
	if cfg.ClientCA != clients.file {
		if clients, err = openAuthorities(cfg.ClientCA); err != nil {
			return fmt.Errorf("client_ca: %w", err)
		}
	}
	next, err := k.issuerFor(cfg.ACME)
	if err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	k.env.Metrics.forget(k.env.Listener)
	k.cfg, k.entries, k.clients, k.acme = cfg, entries, clients, next
	k.publish()
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return nil
}

// entriesFor opens the pairs of a configuration, or finds them among those
// that are open; the caller holds mu.
func (k *Keeper) entriesFor(pairs []Pair) ([]*entry, error) {
	var out []*entry
	for i, p := range pairs {
		p.Name = p.Label(i)
		e := k.entry(p)
		if e == nil {
			e = &entry{pair: p}
			if err := e.load(time.Time{}); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			if err := validity(e.cert.Leaf, k.env.Now()); err != nil {
				k.env.Log.Warn("a certificate is served though it is not valid now", "listener", k.env.Listener, "certificate", p.Name, "err", err)
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// Label is the name of the pair that stands at place i.
func (p Pair) Label(i int) string {
	switch {
	case p.Name != "":
		return p.Name
	case i == 0:
		return "default"
	}
	return fmt.Sprintf("certificates[%d]", i-1)
}

// entry is the open one of a pair, nil for none; the caller holds mu.
func (k *Keeper) entry(p Pair) *entry {
	for _, e := range k.entries {
		if e.pair == p {
			return e
		}
	}
	return nil
}

// publish makes what is open what is served; the caller holds mu.
func (k *Keeper) publish() {
	t := newTable(k.entries, k.acme, k.clients.pool)
	k.served.Store(t)
	for _, e := range k.entries {
		k.env.Metrics.set(k.env.Listener, e.pair.Name, e.cert.Leaf.NotAfter, e.bad != "")
	}
	k.acme.each(func(host string, c *tls.Certificate) {
		k.env.Metrics.set(k.env.Listener, "acme:"+host, c.Leaf.NotAfter, false)
	})
}

// Files are all files that a change of is worth a Check.
func (k *Keeper) Files() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, e := range k.entries {
		out = append(out, e.pair.Cert, e.pair.Key)
	}
	if k.cfg.ClientCA != "" {
		out = append(out, k.cfg.ClientCA)
	}
	return out
}

// Check looks at the files and takes up what has changed. It is for a watcher,
// and cheap when nothing has changed.
func (k *Keeper) Check() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.check()
}

// look is Check for handshakes: not too often, and while one of them looks the
// others go on with what is known, as a file system may be slow.
func (k *Keeper) look() {
	now := k.env.Now().UnixNano()
	if now < k.next.Load() || !k.mu.TryLock() {
		return
	}
	defer k.mu.Unlock()
	k.next.Store(now + int64(lookEvery))
	k.check()
}

// check does what Check says; the caller holds mu.
func (k *Keeper) check() {
	changed := false
	for _, e := range k.entries {
		changed = k.refresh(e) || changed
	}
	if took, err := k.clients.refresh(); err != nil {
		k.env.Log.Error("the authorities for clients are broken; the ones before stay", "listener", k.env.Listener, "file", k.cfg.ClientCA, "err", err)
	} else if took {
		changed = true
		k.env.Log.Info("authorities for clients read again", "listener", k.env.Listener, "file", k.cfg.ClientCA)
	}
	if changed {
		k.publish()
	}
}

// refresh takes up what the files of a pair hold now; the caller holds mu.
func (k *Keeper) refresh(e *entry) (changed bool) {
	if e.bad == "" && !e.moved() {
		return false
	}
	old, before := e.bad, e.cert
	err := e.load(k.env.Now())
	log := k.env.Log.With("listener", k.env.Listener, "certificate", e.pair.Name)
	switch {
	case err != nil:
		if e.bad = err.Error(); e.bad != old {
			log.Error("a certificate is refused; the one before stays", "err", err)
			k.env.Metrics.tried(k.env.Listener, e.pair.Name, false)
		}
		return e.bad != old
	case before.Leaf.Equal(e.cert.Leaf) && old == "":
		return true // the chain or nothing is new
	}
	e.bad = ""
	log.Info("certificate read again", "expires", e.cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	k.env.Metrics.tried(k.env.Listener, e.pair.Name, true)
	return true
}

// Get chooses a certificate, see tls.Config.GetCertificate: of the pairs that
// have the name, the first that the client can use; else a fetched one; else
// the first pair.
func (k *Keeper) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.look()
	if c := k.served.Load().find(hello); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no certificate for this name yet")
}

// Server returns the settings of a listener that offers protos (ALPN). What
// Apply and the files change holds for new handshakes; connections stay.
func (k *Keeper) Server(protos ...string) *tls.Config {
	base := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protos, GetCertificate: k.Get}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		k.look()
		t := k.served.Load()
		if c := t.challenge(hello); c != nil {
			return c, nil
		}
		if t.clients == nil {
			return nil, nil
		}
		// A ticket would carry an old verdict about the client past a change of the authorities.
		return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protos, GetCertificate: k.Get, SessionTicketsDisabled: true,
			ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: t.clients}, nil
	}
	return base
}

// validity says why a certificate is not valid at a time.
func validity(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired on %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is valid only from %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
