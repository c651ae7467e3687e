package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// accountFile is the name of the account's key in the cache; no host has it.
const accountFile = "account.key"

// accountKey reads the key of the account, or makes one.
func accountKey(dir string) (crypto.Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, accountFile)
	text, err := readPEM(name)
	if isMissing(err) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		text, err := encodePair(nil, key)
		if err != nil {
			return nil, err
		}
		return key, writeFile(name, text)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s holds no key that can sign", name)
	}
	return signer, nil
}

// isMissing reports whether a file is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// cached is the file of a host's key and certificate.
func cached(dir, host string) string { return filepath.Join(dir, host+".pem") }

// readCached reads what writeCached wrote.
func readCached(dir, host string) (*tls.Certificate, error) {
	text, err := readPEM(cached(dir, host))
	if err != nil {
		return nil, err
	}
	return parsePair(text, host)
}

// writeCached keeps a certificate and its key, for its owner only.
func writeCached(dir, host string, c *tls.Certificate) error {
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("not a key that is made here")
	}
	text, err := encodePair(c.Certificate, key)
	if err != nil {
		return err
	}
	return writeFile(cached(dir, host), text)
}

// encodePair writes a key and a chain.
func encodePair(chain [][]byte, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	blocks := []*pem.Block{{Type: "PRIVATE KEY", Bytes: der}}
	for _, c := range chain {
		blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: c})
	}
	for _, block := range blocks {
		if err := pem.Encode(&b, block); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// parsePair reads what encodePair wrote and makes sure that it is for host.
func parsePair(text []byte, host string) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	return &c, c.Leaf.VerifyHostname(host)
}

// writeFile replaces a file in one step, with mode 0600.
func writeFile(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name()) //nolint:errcheck // the other error says more
	}
	return err
}

// addressOf is the address at which a client reached us.
func addressOf(c net.Conn) string {
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}
