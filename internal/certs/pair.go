package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// maxPEM bounds a file with certificates or a key, in bytes.
const maxPEM = 1 << 20

// entry is a pair that is open.
type entry struct {
	pair Pair
	cert *tls.Certificate // that is served; Leaf is set
	seen [2]fs.FileInfo   // as last read, good or bad; nil: was not there
	bad  string           // why the files are refused; "": they are what is served
}

// moved reports whether a file is another one than was read.
func (e *entry) moved() bool {
	now := e.stat()
	return !same(now[0], e.seen[0]) || !same(now[1], e.seen[1])
}

// stat looks at both files.
func (e *entry) stat() (out [2]fs.FileInfo) {
	for i, name := range []string{e.pair.Cert, e.pair.Key} {
		if info, err := os.Stat(name); err == nil {
			out[i] = info
		}
	}
	return out
}

// same reports whether a file was neither replaced nor written to.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// tries is how often a pair is read when it changes meanwhile.
const tries = 3

// load reads the pair. A pair that is not valid at now, while the one before
// is, is refused; the zero now asks for no such thing. With an error the pair
// before stays.
func (e *entry) load(now time.Time) error {
	var err error
	for range tries {
		e.seen = e.stat()
		var c *tls.Certificate
		if c, err = Read(e.pair); err == nil && e.cert != nil && validity(e.cert.Leaf, now) == nil {
			err = validity(c.Leaf, now)
		}
		if err == nil {
			e.cert = c
			return nil
		}
		if !e.moved() { // else it was read in the middle of being replaced
			break
		}
	}
	return err
}

// Read reads a pair and makes sure that the two belong together. The errors
// name the file and never quote it.
func Read(p Pair) (*tls.Certificate, error) {
	cert, err := readPEM(p.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readPEM(p.Key)
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", p.Cert, p.Key, err)
	}
	return &c, nil
}

// readPEM reads a file of limited size.
func readPEM(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxPEM:
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxPEM)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, fmt.Errorf("%s is empty", name)
	}
	return b, nil
}

// authorities are the certificates of a file that sign those of clients.
type authorities struct {
	file string
	pool *x509.CertPool // nil: no file
	seen fs.FileInfo
}

// openAuthorities reads a file; "" is none.
func openAuthorities(file string) (authorities, error) {
	a := authorities{file: file}
	if file == "" {
		return a, nil
	}
	return a, a.read()
}

// read reads the file. With an error what was known stays.
func (a *authorities) read() error {
	a.seen, _ = os.Stat(a.file) // what is wrong with it, reading says
	text, err := readPEM(a.file)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return errors.New(a.file + " holds no certificate")
	}
	a.pool = pool
	return nil
}

// refresh reads the file when it is another one than was read.
func (a *authorities) refresh() (took bool, err error) {
	if a.file == "" {
		return false, nil
	}
	if info, err := os.Stat(a.file); err != nil {
		info = nil
		if same(info, a.seen) {
			return false, nil
		}
	} else if same(info, a.seen) {
		return false, nil
	}
	if err := a.read(); err != nil {
		return false, err
	}
	return true, nil
}
