package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"testing"
)

// authority is an ACME server (RFC 8555) over real TLS: it checks signatures and
// nonces, looks for the proof (RFC 8737) on a real connection, and signs with ca.
type authority struct {
	*httptest.Server
	t     *testing.T
	ca    *ca
	proof func() string // where names are proved, whatever the name

	mu       sync.Mutex // protects the fields below
	nonces   map[string]bool
	accounts map[string]*ecdsa.PublicKey // by URL
	orders   map[string]*acmeOrder       // by number
	asked    []string                    // names of all orders
	refuse   bool                        // answers every order with an error
	serial   int64
	leaf     leaf // what certificates say besides name and number
}

type acmeOrder struct {
	host, token, status string
	chain               []byte
}

func newAuthority(t *testing.T, a *ca) *authority {
	t.Helper()
	s := &authority{t: t, ca: a, nonces: map[string]bool{}, accounts: map[string]*ecdsa.PublicKey{}, orders: map[string]*acmeOrder{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dir", s.directory)
	mux.HandleFunc("HEAD /nonce", func(http.ResponseWriter, *http.Request) {})
	for pattern, handle := range map[string]func(*acmeRequest) (int, any, error){
		"/account": s.account, "/order": s.newOrder, "/order/{n}": s.order, "/authz/{n}": s.authz, "/challenge/{n}": s.challenge, "/finalize/{n}": s.finalize, "/cert/{n}": s.download,
	} {
		mux.HandleFunc("POST "+pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, handle) })
	}
	s.Server = httptest.NewTLSServer(s.withNonce(mux))
	t.Cleanup(s.Close)
	return s
}

// pem is the certificate of the server itself.
func (s *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func (s *authority) withNonce(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		nonce := fmt.Sprintf("nonce%d", len(s.nonces))
		s.nonces[nonce] = true
		s.mu.Unlock()
		w.Header().Set("Replay-Nonce", nonce)
		next.ServeHTTP(w, r)
	})
}

func (s *authority) directory(w http.ResponseWriter, _ *http.Request) {
	json.NewEncoder(w).Encode(map[string]any{"newNonce": s.URL + "/nonce", "newAccount": s.URL + "/account", "newOrder": s.URL + "/order", //nolint:errcheck // the client went away
		"revokeCert": s.URL + "/none", "keyChange": s.URL + "/none", "meta": map[string]any{"termsOfService": s.URL + "/terms"}})
}

// acmeRequest is a request whose signature is good.
type acmeRequest struct {
	*http.Request
	header  http.Header // of the answer
	key     *ecdsa.PublicKey
	thumb   string // of key
	payload []byte
}

type jwk struct {
	Crv string `json:"crv"`
	Kty string `json:"kty"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

func unb64(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// read checks a request: signature, nonce, URL, and that its account is known.
func (s *authority) read(r *http.Request) (*acmeRequest, error) {
	var jws struct{ Protected, Payload, Signature string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&jws); err != nil {
		return nil, err
	}
	var head struct {
		Alg, Nonce, URL, Kid string
		Jwk                  *jwk
	}
	if err := json.Unmarshal(unb64(jws.Protected), &head); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if head.Alg != "ES256" || head.URL != s.URL+r.URL.Path || !s.nonces[head.Nonce] {
		return nil, fmt.Errorf("bad head %+v", head)
	}
	s.nonces[head.Nonce] = false
	key := s.accounts[head.Kid]
	if head.Jwk != nil {
		var err error
		if key, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, unb64(head.Jwk.X), unb64(head.Jwk.Y))); err != nil {
			return nil, err
		}
	}
	sig := unb64(jws.Signature)
	if key == nil || len(sig) != 64 {
		return nil, errors.New("no account or no signature")
	}
	sum := sha256.Sum256([]byte(jws.Protected + "." + jws.Payload))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errors.New("bad signature")
	}
	point, err := key.Bytes() // 4, X and Y
	if err != nil {
		return nil, err
	}
	canon, err := json.Marshal(jwk{"P-256", "EC", b64(point[1:33]), b64(point[33:])})
	if err != nil {
		return nil, err
	}
	thumb := sha256.Sum256(canon)
	return &acmeRequest{Request: r, key: key, thumb: b64(thumb[:]), payload: unb64(jws.Payload)}, nil
}

// answer reads, handles and writes the answer as JSON, or as it is for bytes.
func (s *authority) answer(w http.ResponseWriter, r *http.Request, handle func(*acmeRequest) (int, any, error)) {
	req, err := s.read(r)
	status, body := 0, any(nil)
	if err == nil {
		req.header = w.Header()
		status, body, err = handle(req)
	}
	if err != nil {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		body = map[string]any{"type": "urn:ietf:params:acme:error:unauthorized", "detail": err.Error(), "status": 403}
	} else {
		w.WriteHeader(status)
	}
	if b, ok := body.([]byte); ok {
		w.Write(b) //nolint:errcheck // the client went away
		return
	}
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client went away
}

func (s *authority) account(r *acmeRequest) (int, any, error) {
	var doc struct{ TermsOfServiceAgreed bool }
	if err := json.Unmarshal(r.payload, &doc); err != nil || !doc.TermsOfServiceAgreed {
		return 0, nil, errors.New("the terms are not accepted")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	url, status := s.URL+"/account/"+r.thumb, http.StatusCreated
	if s.accounts[url] != nil {
		status = http.StatusOK
	}
	s.accounts[url] = r.key
	r.header.Set("Location", url)
	return status, map[string]any{"status": "valid"}, nil
}

func (s *authority) newOrder(r *acmeRequest) (int, any, error) {
	var doc struct {
		Identifiers []struct{ Type, Value string }
	}
	if err := json.Unmarshal(r.payload, &doc); err != nil || len(doc.Identifiers) != 1 {
		return 0, nil, errors.New("one name, please")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, doc.Identifiers[0].Value)
	if s.refuse {
		return 0, nil, errors.New("not today")
	}
	n := fmt.Sprint(len(s.orders))
	s.orders[n] = &acmeOrder{host: doc.Identifiers[0].Value, token: "token-" + n, status: "pending"}
	r.header.Set("Location", s.URL+"/order/"+n)
	return http.StatusCreated, s.describe(n), nil
}

// describe is an order as JSON; the caller holds mu.
func (s *authority) describe(n string) any {
	o := s.orders[n]
	return map[string]any{"status": o.status, "identifiers": []any{map[string]any{"type": "dns", "value": o.host}},
		"authorizations": []string{s.URL + "/authz/" + n}, "finalize": s.URL + "/finalize/" + n, "certificate": s.URL + "/cert/" + n}
}

// find is the order that the path ends with; the caller holds mu.
func (s *authority) find(r *acmeRequest) (string, *acmeOrder, error) {
	n := path.Base(r.URL.Path)
	if s.orders[n] == nil {
		return n, nil, errors.New("no such order")
	}
	return n, s.orders[n], nil
}

func (s *authority) order(r *acmeRequest) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _, err := s.find(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.describe(n), nil
}

func (s *authority) authz(r *acmeRequest) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, o, err := s.find(r)
	if err != nil {
		return 0, nil, err
	}
	status := "pending"
	if o.status != "pending" {
		status = "valid"
	}
	return http.StatusOK, map[string]any{"status": status, "identifier": map[string]any{"type": "dns", "value": o.host}, "challenges": []any{
		map[string]any{"type": "http-01", "url": s.URL + "/none", "token": o.token, "status": "pending"},
		map[string]any{"type": "tls-alpn-01", "url": s.URL + "/challenge/" + n, "token": o.token, "status": "pending"}}}, nil
}

// challenge looks for the proof at once.
func (s *authority) challenge(r *acmeRequest) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, o, err := s.find(r)
	if err == nil {
		err = proved(s.proof(), o.host, o.token+"."+r.thumb)
	}
	if err != nil {
		return 0, nil, err
	}
	o.status = "ready"
	return http.StatusOK, map[string]any{"type": "tls-alpn-01", "url": s.URL + "/challenge/" + n, "token": o.token, "status": "valid"}, nil
}

// proved makes the connection of RFC 8737 section 3.
func proved(addr, host, authorization string) error {
	var got []byte
	conf := &tls.Config{ServerName: host, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true, VerifyConnection: func(st tls.ConnectionState) error {
		leaf := st.PeerCertificates[0]
		if st.NegotiatedProtocol != "acme-tls/1" || len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != host {
			return fmt.Errorf("protocol %q, certificate for %v", st.NegotiatedProtocol, leaf.DNSNames)
		}
		for _, x := range leaf.Extensions {
			if x.Critical && x.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) {
				_, err := asn1.Unmarshal(x.Value, &got)
				return err
			}
		}
		return errors.New("no proof in the certificate")
	}}
	c, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		return err
	}
	defer c.Close()
	if want := sha256.Sum256([]byte(authorization)); !bytes.Equal(got, want[:]) {
		return errors.New("the proof is wrong")
	}
	return nil
}

func (s *authority) finalize(r *acmeRequest) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, o, err := s.find(r)
	if err != nil || o.status != "ready" {
		return 0, nil, fmt.Errorf("not proved: %w", err)
	}
	var doc struct{ CSR string }
	if err := json.Unmarshal(r.payload, &doc); err != nil {
		return 0, nil, err
	}
	csr, err := x509.ParseCertificateRequest(unb64(doc.CSR))
	if err != nil || csr.CheckSignature() != nil || len(csr.DNSNames) != 1 || csr.DNSNames[0] != o.host {
		return 0, nil, errors.New("bad request for a certificate")
	}
	s.serial++
	l := s.leaf
	l.serial, l.names = s.serial, []string{o.host}
	o.chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.sign(l, csr.PublicKey.(*ecdsa.PublicKey))})
	o.status = "valid"
	r.header.Set("Location", s.URL+"/order/"+n)
	return http.StatusOK, s.describe(n), nil
}

func (s *authority) download(r *acmeRequest) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, o, err := s.find(r)
	if err != nil {
		return 0, nil, err
	}
	r.header.Set("Content-Type", "application/pem-certificate-chain")
	return http.StatusOK, append(o.chain, s.ca.pem()...), nil
}

// orders that came so far.
func (s *authority) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// set changes what the authority does.
func (s *authority) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}
