package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certFiles serves a certificate from two files and reads them again when one
// of them has changed. A pair that does not load leaves the old one in place.
type certFiles struct {
	cert, key string

	mu    sync.Mutex // protects the fields below
	pair  *tls.Certificate
	state [2]fileState // as last read, good or bad
	next  time.Time    // not looked at before
}

type fileState struct {
	size int64
	mod  time.Time
}

const certEvery = time.Second // how often the files are looked at, at most

// serverTLS loads the pair once and follows its files. Whoever offers HTTP/1.1 as
// well gets that: net/http offers HTTP/2 to every proxy inside TLS, and cannot
// speak it there.
func serverTLS(cfg TLS) (*tls.Config, error) {
	f := &certFiles{cert: cfg.Cert, key: cfg.Key}
	if err := f.load(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1", h2Name},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(time.Now()), nil }}, nil
}

// stat tells the files apart from what was read; a missing one is the zero state.
func (f *certFiles) stat() (s [2]fileState) {
	for i, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil {
			s[i] = fileState{info.Size(), info.ModTime()}
		}
	}
	return s
}

// load reads the pair; the caller holds mu, or nobody else knows f yet.
func (f *certFiles) load() error {
	f.state = f.stat()
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.pair = &pair
	return nil
}

// current returns the pair to serve now.
func (f *certFiles) current(now time.Time) *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.After(f.next) {
		f.next = now.Add(certEvery)
		if f.stat() != f.state {
			_ = f.load() // a pair in the middle of being replaced loads the next time
		}
	}
	return f.pair
}
