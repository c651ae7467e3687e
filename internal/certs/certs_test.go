package certs_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freeway/internal/certs"
)

func TestNameChoosesTheCertificate(t *testing.T) {
	t.Parallel()
	a := newCA(t)
	s := newStand(t, a, certs.Config{Pairs: []certs.Pair{
		a.pair(leaf{serial: 1, names: []string{"proxy.example.com", "127.0.0.1"}}),
		a.pair(leaf{serial: 2, names: []string{"*.example.com"}}),
		a.pair(leaf{serial: 3, names: []string{"shop.example.com", "Other.Example.ORG"}}),
	}}, nil)
	for name, want := range map[string]int64{
		"proxy.example.com": 1, "shop.example.com": 3, "any.example.com": 2, "ANY.Example.com": 2, "other.example.org": 3, "127.0.0.1": 1,
	} {
		if got := s.serial(name); got != want {
			t.Errorf("%s is served certificate %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"a.b.example.com", "example.com", "elsewhere.org"} { // the default, which the client refuses
		_, err := s.dial(&tls.Config{ServerName: name})
		if err == nil || !strings.Contains(err.Error(), "proxy.example.com") {
			t.Errorf("%s: %v, want to be refused for the default's names", name, err)
		}
	}
}

// mount is a folder as Kubernetes mounts a Secret: files are links through ..data.
type mount struct {
	t    *testing.T
	dir  string
	turn int
}

func (m *mount) pair() certs.Pair {
	return certs.Pair{Cert: filepath.Join(m.dir, "tls.crt"), Key: filepath.Join(m.dir, "tls.key")}
}

// swap puts new files in place in one step, and removes the old ones.
func (m *mount) swap(cert, key []byte) {
	m.t.Helper()
	m.turn++
	name := "..2026_" + string(rune('a'+m.turn))
	data := filepath.Join(m.dir, name)
	must(m.t, os.Mkdir(data, 0o700))
	write(m.t, filepath.Join(data, "tls.crt"), cert)
	write(m.t, filepath.Join(data, "tls.key"), key)
	old, _ := os.Readlink(filepath.Join(m.dir, "..data"))
	must(m.t, os.Symlink(name, filepath.Join(m.dir, "..data_tmp")))
	must(m.t, os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
	if old == "" {
		must(m.t, os.Symlink("..data/tls.crt", filepath.Join(m.dir, "tls.crt")))
		must(m.t, os.Symlink("..data/tls.key", filepath.Join(m.dir, "tls.key")))
		return
	}
	must(m.t, os.RemoveAll(filepath.Join(m.dir, old)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestThreat91Rotation: new handshakes get the new certificate, connections that are open
// live on, and a pair that is bad is ignored with a word in log and metrics.
func TestThreat91Rotation(t *testing.T) {
	t.Parallel()
	a := newCA(t)
	m := &mount{t: t, dir: t.TempDir()}
	m.swap(a.issue(leaf{serial: 1, names: []string{"localhost"}}))
	s := newStand(t, a, certs.Config{Pairs: []certs.Pair{m.pair()}}, nil)
	open, err := s.dial(&tls.Config{ServerName: "localhost"})
	must(t, err)
	alive := func() {
		t.Helper()
		b := make([]byte, 4)
		if _, err := open.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if n, err := open.Read(b); err != nil || string(b[:n]) != "ping" {
			t.Fatalf("the connection that was open: %q, %v", b[:n], err)
		}
	}
	alive()
	serve := func(want int64) {
		t.Helper()
		s.Check()
		s.Check() // the second has nothing to say
		if got := s.serial("localhost"); got != want {
			t.Fatalf("served certificate %d, want %d", got, want)
		}
		alive()
	}
	m.swap(a.issue(leaf{serial: 2, names: []string{"localhost"}, from: -time.Hour, to: 90 * time.Hour}))
	serve(2)
	expires := time.Unix(int64(s.metric("freeway_certificate_expiry_timestamp_seconds", "default", "gateway")), 0)
	if left := time.Until(expires); left < 89*time.Hour || left > 91*time.Hour {
		t.Errorf("the metric says that it expires in %v, want 90h", left)
	}

	cert, key := a.issue(leaf{serial: 3, names: []string{"localhost"}})
	_, other := a.issue(leaf{serial: 4, names: []string{"localhost"}})
	expired, expiredKey := a.issue(leaf{serial: 5, names: []string{"localhost"}, from: -9 * time.Hour, to: -time.Hour})
	early, earlyKey := a.issue(leaf{serial: 6, names: []string{"localhost"}, from: time.Hour, to: 9 * time.Hour})
	for i, bad := range []struct {
		name      string
		cert, key []byte
		says      string
	}{
		{"mismatched", cert, other, "private key does not match"},
		{"no certificate", []byte("nonsense"), key, "failed to find any PEM data"},
		{"empty", nil, key, "is empty"},
		{"expired", expired, expiredKey, "expired on"},
		{"not yet valid", early, earlyKey, "valid only from"},
	} {
		m.swap(bad.cert, bad.key)
		serve(2)
		if s.log.count("is refused") != i+1 || s.log.count(bad.says) != 1 {
			t.Errorf("%s: the log has %d refusals, want %d and %q", bad.name, s.log.count("is refused"), i+1, bad.says)
		}
		if got := s.metric("freeway_certificate_refused", "default", "gateway"); got != 1 {
			t.Errorf("%s: freeway_certificate_refused = %v, want 1", bad.name, got)
		}
	}
	if got := s.metric("freeway_certificate_renewals_total", "default", "gateway", "refused"); got != 5 {
		t.Errorf("%v were refused, want 5", got)
	}
	if s.log.count("PRIVATE KEY") != 0 {
		t.Error("a key is in the log")
	}
	m.swap(cert, key)
	serve(3)
	if got := s.metric("freeway_certificate_refused", "default", "gateway"); got != 0 {
		t.Errorf("a good pair: freeway_certificate_refused = %v, want 0", got)
	}
	must(t, os.Remove(filepath.Join(m.dir, "..data")))
	serve(3)
}

// Handshakes look themselves, for where nobody tells of changes.
func TestHandshakesLook(t *testing.T) {
	t.Parallel()
	a := newCA(t)
	var later atomic.Int64
	p := a.pair(leaf{serial: 1, names: []string{"localhost"}})
	s := newStand(t, a, certs.Config{Pairs: []certs.Pair{p}}, func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
	if got := s.serial("localhost"); got != 1 {
		t.Fatalf("served certificate %d, want 1", got)
	}
	cert, key := a.issue(leaf{serial: 2, names: []string{"localhost"}})
	write(t, p.Key, key) // not in one step
	later.Add(int64(2 * time.Second))
	if got := s.serial("localhost"); got != 1 {
		t.Errorf("with half a pair on disk served certificate %d, want 1", got)
	}
	write(t, p.Cert, cert)
	later.Add(int64(2 * time.Second))
	if got := s.serial("localhost"); got != 2 {
		t.Errorf("served certificate %d, want 2", got)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	a := newCA(t)
	first, second := a.pair(leaf{serial: 1, names: []string{"one.test"}}), a.pair(leaf{serial: 2, names: []string{"two.test"}})
	s := newStand(t, a, certs.Config{Pairs: []certs.Pair{first}}, nil)
	must(t, s.Apply(certs.Config{Pairs: []certs.Pair{first, second}}))
	if one, two := s.serial("one.test"), s.serial("two.test"); one != 1 || two != 2 {
		t.Errorf("served %d and %d, want 1 and 2", one, two)
	}
	if want := []string{first.Cert, first.Key, second.Cert, second.Key}; !slices.Equal(s.Files(), want) {
		t.Errorf("Files() = %v, want %v", s.Files(), want)
	}
	third := certs.Pair{Cert: first.Cert, Key: second.Key}
	if err := s.Apply(certs.Config{Pairs: []certs.Pair{first, third}}); err == nil || !strings.Contains(err.Error(), "certificates[0]") {
		t.Errorf("Apply with a mismatched pair: %v, want an error that names it", err)
	}
	write(t, first.Cert, []byte("broken"))
	must(t, s.Apply(certs.Config{Pairs: []certs.Pair{first}})) // one that was there is no reason to refuse
	if one, two := s.serial("one.test"), s.serial("two.test"); one != 1 || two != -1 {
		t.Errorf("served %d and %d, want 1 and none", one, two)
	}
	if got := s.metric("freeway_certificate_expiry_timestamp_seconds", "certificates[0]", "gateway"); got != -1 {
		t.Errorf("a pair that is gone has the expiry %v", got)
	}
}

func TestClientAuthorities(t *testing.T) {
	t.Parallel()
	a, other := newCA(t), newCA(t)
	file := filepath.Join(t.TempDir(), "clients.pem")
	write(t, file, a.pem())
	s := newStand(t, a, certs.Config{Pairs: []certs.Pair{a.pair(leaf{serial: 1, names: []string{"localhost"}})}, ClientCA: file}, nil)
	with := func(signer *ca) error {
		p := signer.pair(leaf{serial: 7, names: []string{"spiffe://test/alice"}})
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		must(t, err)
		// A client sends its certificate whoever signed it.
		c, err := s.dial(&tls.Config{ServerName: "localhost", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }})
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	}
	if mine, foreign, none := with(a), with(other), s.serial("localhost"); mine != nil || foreign == nil || none != 1 {
		t.Errorf("client of the authority: %v, of another: %v, none: %v; want in, out, in", mine, foreign, none)
	}
	write(t, file, []byte("broken"))
	s.Check()
	if err := with(a); err != nil || s.log.count("the ones before stay") != 1 {
		t.Errorf("with a broken file: %v and %d log lines, want in and 1", err, s.log.count("the ones before stay"))
	}
	write(t, file, other.pem())
	s.Check()
	if mine, foreign := with(a), with(other); mine == nil || foreign != nil {
		t.Errorf("after the change, of the old authority: %v, of the new: %v; want out, in", mine, foreign)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	a := newCA(t)
	good := a.pair(leaf{serial: 1, names: []string{"proxy.example.com", "*.example.org", "192.0.2.1"}})
	other := a.pair(leaf{serial: 2, names: []string{"proxy.example.com"}})
	for _, tt := range []struct {
		name  string
		pair  certs.Pair
		hosts []string
		want  string
		bad   bool
	}{
		{"good", good, []string{"proxy.example.com", "a.example.org", "192.0.2.1"}, "", false},
		{"name missing", good, []string{"localhost"}, "is for proxy.example.com, *.example.org, 192.0.2.1, not for localhost", false},
		{"address missing", good, []string{"192.0.2.2"}, "not for 192.0.2.2", false},
		{"mismatched", certs.Pair{Cert: good.Cert, Key: other.Key}, nil, "private key does not match", true},
		{"unreadable", certs.Pair{Cert: good.Cert, Key: filepath.Join(t.TempDir(), "none")}, nil, "no such file", true},
		{"expired", a.pair(leaf{names: []string{"x.test"}, from: -9 * time.Hour, to: -time.Hour}), nil, "expired on", true},
		{"early", a.pair(leaf{names: []string{"x.test"}, from: time.Hour, to: 9 * time.Hour}), nil, "valid only from", true},
		{"soon", a.pair(leaf{names: []string{"x.test"}, from: -90 * 24 * time.Hour, to: 5 * 24 * time.Hour}), nil, "expires on", false},
		{"short-lived on purpose", a.pair(leaf{names: []string{"x.test"}, from: -time.Hour, to: 23 * time.Hour}), nil, "", false},
		{"no names", a.pair(leaf{}), nil, "names no host", true},
	} {
		got := certs.Inspect(tt.pair, tt.hosts, time.Now())
		switch {
		case tt.want == "" && len(got) > 0:
			t.Errorf("%s: Inspect = %v, want nothing", tt.name, got)
		case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0].Says, tt.want) || got[0].Bad != tt.bad):
			t.Errorf("%s: Inspect = %v, want %q, bad: %v", tt.name, got, tt.want, tt.bad)
		}
	}
}
