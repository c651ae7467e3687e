package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeway/config"
	"freeway/internal/loopback"
)

// mint is an authority of a test that writes pairs into its folder.
type mint struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	next int64
}

// newMint writes its certificate as NAME.pem.
func newMint(t *testing.T, dir, name string) *mint {
	t.Helper()
	m := &mint{t: t, dir: dir, next: 1}
	var err error
	if m.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	m.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, m.cert, m.cert, &m.key.PublicKey, m.key)
	if err != nil {
		t.Fatal(err)
	}
	if m.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	m.put(name+".pem", "CERTIFICATE", der)
	return m
}

// put writes a PEM file in one step.
func (m *mint) put(name, kind string, der []byte) {
	m.t.Helper()
	putFile(m.t, filepath.Join(m.dir, name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// putFile replaces a file in one step.
func putFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// pair writes NAME.crt and NAME.key for a DNS name or URI that is valid until
// then, and returns the pair and its serial number.
func (m *mint) pair(name, san string, until time.Duration) (tls.Certificate, int64) {
	m.t.Helper()
	m.next++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(m.next), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(until),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if u, err := url.Parse(san); err == nil && u.Scheme != "" {
		tmpl.URIs = []*url.URL{u}
	} else {
		tmpl.DNSNames = []string{san}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, m.cert, &key.PublicKey, m.key)
	if err != nil {
		m.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		m.t.Fatal(err)
	}
	m.put(name+".key", "PRIVATE KEY", private)
	m.put(name+".crt", "CERTIFICATE", der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, m.next
}

// serveFresh is serveFile as "freeway serve" does it: with secrets, and every
// file looked at. The whole configuration is text.
func serveFresh(t *testing.T, dir, text string) *running {
	t.Helper()
	r := &running{file: filepath.Join(dir, "freeway.yaml"), log: &lockedBuffer{}}
	r.write(t, strings.ReplaceAll(text, "DIR", dir))
	from := config.LoadOptions{Path: r.file}
	secrets := &heldSecrets{Secrets: config.NewSecrets(nil)}
	since := config.Fingerprint(r.file)
	cfg, err := config.Load(from)
	if err == nil {
		err = secrets.read(&cfg, from)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.server, err = openServer(t.Context(), cfg, serverOptions{log: slog.New(slog.NewTextHandler(r.log, nil)), control: loopback.Guard(t), secrets: secrets,
		load: func() (config.Config, error) { return loadAgain(from, secrets) }, watch: r.file, since: since})
	if err != nil {
		t.Fatal(err)
	}
	r.runIt(t)
	return r
}

// asking is a client of an admin listener.
type asking struct {
	t    *testing.T
	r    *running
	http *http.Client
	base string
}

// asks makes a client; nil for plain HTTP. Connections are kept.
func (r *running) asks(t *testing.T, conf *tls.Config) *asking {
	t.Helper()
	a := &asking{t: t, r: r, base: "http://"}
	if conf != nil {
		a.base = "https://"
	}
	tr := &http.Transport{DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, TLSClientConfig: conf}
	t.Cleanup(tr.CloseIdleConnections)
	a.http = &http.Client{Timeout: time.Minute, Transport: tr}
	return a
}

// do sends a request and returns status, body and the serial number of the
// server's certificate; the status is 0 when there is no answer.
func (a *asking) do(method, path, token string) (status int, body string, serial int64) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+a.r.admin.Addr().String()+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, err.Error(), 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if resp.TLS != nil {
		serial = resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	return resp.StatusCode, string(text), serial
}

// TestSecretsAreFollowed: what a mounted Secret or an agent writes is taken up
// without a signal; what is broken leaves the old value, and is told of.
func TestSecretsAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token, password := filepath.Join(dir, "token"), filepath.Join(dir, "bob")
	putFile(t, token, "first-SECRET\n")
	putFile(t, password, "bobs-SECRET\n")
	r := serveFresh(t, dir, "store: {path: DIR/freeway.db}\ngateway: {listen: \"127.0.0.1:0\", users: [{name: bob, password_file: bob}]}\n"+
		"admin: {listen: \"127.0.0.1:0\", token: \"file:token\"}\nsources: {builtin: false}\nchecker: {judges: [\"http://127.0.0.1:1/\"]}\nnetwork: {allow_upstreams: [127.0.0.0/8]}\n")
	a := r.asks(t, nil)
	status := func(token string) int {
		s, _, _ := a.do("GET", "/api/config", token)
		return s
	}
	says := func(token, metric string) bool {
		_, body, _ := a.do("GET", "/metrics", token)
		return strings.Contains(body, "\n"+metric+"\n")
	}
	if status("first-SECRET") != 200 || status("x") != 401 || !says("first-SECRET", "freeway_secrets_unreadable 0") {
		t.Fatal("the token of the file is not what is asked for")
	}
	putFile(t, token, "second-SECRET")
	eventually(t, "the new token", func() bool { return status("second-SECRET") == 200 })
	if status("first-SECRET") != 401 {
		t.Error("the old token is accepted still")
	}
	putFile(t, token, "\n")
	if err := os.Remove(password); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a word on both", func() bool { return says("second-SECRET", "freeway_secrets_unreadable 2") })
	if log := r.log.String(); !strings.Contains(log, "key=admin.token") || !strings.Contains(log, "key=gateway.users[0].password_file") {
		t.Error("the log does not name the keys")
	}
	r.change(t, "127.0.0.1:1/", "127.0.0.1:2/") // a reload for another reason is not held up
	eventually(t, "another change", func() bool {
		_, body, _ := a.do("GET", "/api/config", "second-SECRET")
		return strings.Contains(body, "127.0.0.1:2/")
	})
	putFile(t, token, "third-SECRET")
	putFile(t, password, "bobs-SECRET")
	eventually(t, "the third token", func() bool {
		return status("third-SECRET") == 200 && says("third-SECRET", "freeway_secrets_unreadable 0")
	})
	_, shown, _ := a.do("GET", "/api/config", "third-SECRET")
	for what, text := range map[string]string{"/api/config": shown, "the log": r.log.String()} {
		if strings.Contains(text, "SECRET") {
			t.Errorf("%s holds a secret:\n%s", what, text)
		}
	}
	if !strings.Contains(shown, "file:") {
		t.Errorf("/api/config lacks the reference:\n%s", shown)
	}
}

// adminTLS is a configuration with roles by certificate.
const adminTLS = `store: {path: DIR/freeway.db}
gateway: {listen: "127.0.0.1:0"}
admin:
  listen: "127.0.0.1:0"
  hosts: [admin.test, second.test]
  token: "the-token"
  tls:
    cert: admin.crt
    key: admin.key
    certificates: [{name: second, cert: second.crt, key: second.key}]
    client_ca: clients.pem
    clients: [{san: "spiffe://test/alice", role: operator}, {san: "spiffe://test/vera", role: viewer}]
sources: {builtin: false}
checker: {judges: ["http://127.0.0.1:1/"]}
network: {allow_upstreams: [127.0.0.0/8]}
`

func TestAdminByCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	servers, people, strangers := newMint(t, dir, "servers"), newMint(t, dir, "clients"), newMint(t, t.TempDir(), "strangers")
	_, serial := servers.pair("admin", "admin.test", time.Hour)
	_, second := servers.pair("second", "second.test", time.Hour)
	r := serveFresh(t, dir, adminTLS)
	roots := x509.NewCertPool()
	roots.AddCert(servers.cert)
	with := func(name string, pairs ...tls.Certificate) *asking {
		conf := &tls.Config{RootCAs: roots, ServerName: name}
		if len(pairs) > 0 { // sent whoever signed it
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pairs[0], nil }
		}
		return r.asks(t, conf)
	}
	person := func(m *mint, san string) *asking {
		pair, _ := m.pair("person", san, time.Hour)
		return with("admin.test", pair)
	}
	alice, vera, nobody, foreign, none := person(people, "spiffe://test/alice"), person(people, "spiffe://test/vera"), person(people, "spiffe://test/other"), person(strangers, "spiffe://test/alice"), with("admin.test")
	for _, tt := range []struct {
		name, method, path, token string
		who                       *asking
		want                      int
	}{
		{"operator looks", "GET", "/api/stats", "", alice, 200},
		{"operator changes", "DELETE", "/api/targets/example.com", "", alice, 404},
		{"operator reloads", "POST", "/api/reload", "", alice, 403},
		{"viewer looks", "GET", "/api/stats", "", vera, 200},
		{"viewer changes", "DELETE", "/api/targets/example.com", "", vera, 403},
		{"viewer with a token", "POST", "/api/reload", "the-token", vera, 200},
		{"operator with a wrong token", "GET", "/api/stats", "wrong", alice, 401},
		{"no mapping", "GET", "/api/stats", "", nobody, 403},
		{"no mapping, path tricks", "GET", "//livez/../api/stats", "", nobody, 403},
		{"no mapping, open path", "GET", "/livez", "", nobody, 200},
		{"another authority", "GET", "/livez", "", foreign, 0},
		{"no certificate", "GET", "/api/stats", "", none, 401},
		{"no certificate, token", "GET", "/api/stats", "the-token", none, 200},
		{"plain", "GET", "/api/stats", "the-token", r.asks(t, nil), 400},
	} {
		if got, body, _ := tt.who.do(tt.method, tt.path, tt.token); got != tt.want {
			t.Errorf("%s: %s %s = %d %s, want %d", tt.name, tt.method, tt.path, got, body, tt.want)
		}
	}
	if _, _, got := none.do("GET", "/livez", ""); got != serial {
		t.Errorf("admin.test is served certificate %d, want %d", got, serial)
	}
	if _, _, got := with("second.test").do("GET", "/livez", ""); got != second {
		t.Errorf("second.test is served certificate %d, want %d", got, second)
	}
	r.change(t, `/vera", role: viewer`, `/vera", role: operator`)
	eventually(t, "the new role", func() bool { s, _, _ := vera.do("DELETE", "/api/targets/example.com", ""); return s == 404 })
}

// TestAdminCertificateChanges: connections live on, new ones get the new
// certificate, a bad one changes nothing and holds nothing else up; commands
// speak HTTPS by themselves.
func TestAdminCertificateChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	servers := newMint(t, dir, "servers")
	newMint(t, dir, "clients")
	servers.pair("admin", "admin.test", time.Hour)
	servers.pair("second", "second.test", time.Hour)
	r := serveFresh(t, dir, adminTLS)
	roots := x509.NewCertPool()
	roots.AddCert(servers.cert)
	fresh := func() int64 {
		_, _, serial := r.asks(t, &tls.Config{RootCAs: roots, ServerName: "admin.test"}).do("GET", "/livez", "")
		return serial
	}
	old := r.asks(t, &tls.Config{RootCAs: roots, ServerName: "admin.test"})
	_, _, first := old.do("GET", "/livez", "")
	_, renewed := servers.pair("admin", "admin.test", 2*time.Hour)
	eventually(t, "the new certificate", func() bool { return fresh() == renewed })
	if s, _, serial := old.do("GET", "/livez", ""); s != 200 || serial != first {
		t.Errorf("the connection that was open: %d, certificate %d; want 200 and %d", s, serial, first)
	}
	putFile(t, filepath.Join(dir, "admin.crt"), "broken")
	metric := func(text string) bool {
		_, body, _ := old.do("GET", "/metrics", "the-token")
		return strings.Contains(body, text)
	}
	eventually(t, "a word on the bad one", func() bool { return metric(`freeway_certificate_refused{certificate="default",listener="admin"} 1`) })
	r.change(t, "127.0.0.1:1/", "127.0.0.1:2/")
	eventually(t, "another change meanwhile", func() bool {
		_, body, _ := old.do("GET", "/api/config", "the-token")
		return strings.Contains(body, "127.0.0.1:2/")
	})
	if got := fresh(); got != renewed {
		t.Errorf("with a broken file certificate %d is served, want %d", got, renewed)
	}
	servers.pair("admin", "admin.test", 3*time.Hour)
	eventually(t, "the good one", func() bool { return metric(`freeway_certificate_refused{certificate="default",listener="admin"} 0`) })

	copied := filepath.Join(dir, "client.yaml")
	putFile(t, copied, strings.Replace(readFile(t, r.file), "listen: \"127.0.0.1:0\"\n  hosts", "listen: \""+r.admin.Addr().String()+"\"\n  hosts", 1))
	env := map[string]string{loopbackOnly: "1"}
	if code, out, errs := command(t, env, "healthcheck", "--live", "--config", copied); code != 0 {
		t.Errorf("healthcheck = %d %s%s", code, out, errs)
	}
	newMint(t, dir, "strangers").pair("stranger", "admin.test", time.Hour)
	putFile(t, copied, strings.Replace(readFile(t, copied), "cert: admin.crt", "cert: stranger.crt", 1))
	if code, _, errs := command(t, env, "healthcheck", "--live", "--config", copied); code != 1 || !strings.Contains(errs, "certificate") {
		t.Errorf("healthcheck of a server with another certificate = %d %s, want 1", code, errs)
	}
	r.change(t, adminTLS[strings.Index(adminTLS, "  tls:"):strings.Index(adminTLS, "sources:")], "")
	eventually(t, "plain HTTP", func() bool { s, _, _ := r.asks(t, nil).do("GET", "/livez", ""); return s == 200 })
}

// readFile returns a file's text.
func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCertificateFindings: "config check" and "doctor" say what is wrong.
func TestCertificateFindings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newMint(t, dir, "servers")
	m.pair("good", "localhost", 20*time.Hour)
	m.pair("old", "localhost", -time.Hour)
	m.pair("other", "other.test", 20*time.Hour)
	for _, tt := range []struct {
		name, cert, key string
		code            int
		want            string
	}{
		{"good", "good.crt", "good.key", 0, "valid, and for the names"},
		{"expired", "old.crt", "old.key", 1, "gateway.tls.cert: " + filepath.Join(dir, "old.crt") + ": the certificate expired on "},
		{"mismatched", "good.crt", "other.key", 1, "private key does not match public key"},
		{"unreadable", "none.crt", "good.key", 1, "gateway.tls.cert: there is no file"},
		{"no certificate", "good.key", "good.key", 1, "gateway.tls.cert: "},
		{"name missing", "other.crt", "other.key", 0, "the certificate is for other.test, not for localhost"},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-")+".yaml")
		putFile(t, file, "store: {path: "+dir+"/freeway.db}\ngateway: {listen: 127.0.0.1:0, tls: {listen: \"localhost:0\", cert: "+tt.cert+", key: "+tt.key+"}}\nadmin: {listen: 127.0.0.1:0}\n"+
			"sources: {builtin: false, dir: "+dir+"}\nchecker: {judges: [\"http://127.0.0.1:1/\"]}\n")
		env := map[string]string{loopbackOnly: "1"}
		code, out, errs := command(t, env, "config", "check", file)
		if code != tt.code || tt.name != "good" && !strings.Contains(errs, tt.want) {
			t.Errorf("config check, %s = %d %s%s, want %d with %q", tt.name, code, out, errs, tt.code, tt.want)
		}
		code, out, errs = command(t, env, "doctor", "--config", file)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("doctor, %s = %d %s%s, want %d with %q", tt.name, code, out, errs, tt.code, tt.want)
		}
	}
}
