package checker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"freeway/dial"
	"freeway/internal/judge"
	"freeway/proxy"
)

// fault is how a step went wrong. A nil *fault is success.
type fault struct {
	stage   proxy.Stage
	class   proxy.Class
	status  int
	tampers string // evidence, when class is Tampered
	why     string // for people; no secrets, no foreign bytes but printable ones
}

// Error prints stage and class, and the reason.
func (f *fault) Error() string {
	s := f.stage.String() + ": " + f.class.String()
	if f.status != 0 {
		s += " (status " + strconv.Itoa(f.status) + ")"
	}
	if f.why != "" {
		s += ": " + f.why
	}
	return s
}

// faultOf turns an error of dial into a fault; ctx is the one that it was given.
func faultOf(ctx context.Context, stage proxy.Stage, err error) *fault {
	f := &fault{stage: stage}
	var de *dial.Error
	if errors.As(err, &de) {
		f.stage, f.class, f.status = de.Stage, de.Class, de.Status
	} else {
		f.class = dial.Classify(err)
	}
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		f.class = proxy.Canceled
	case ctx.Err() != nil:
		f.class = proxy.Timeout
	case f.class == proxy.OK:
		f.class = proxy.Unreachable
	}
	return f
}

// question is one GET request.
type question struct {
	page
	path    string // with the nonce
	whole   bool   // absolute form, for a proxy that forwards
	canary  string // "" for none
	accept  string // Accept-Encoding; "" for none
	auth    string // Proxy-Authorization, "" for none; only with whole
	maxBody int64  // bytes of the body that are read; more is cut off silently
}

// bytes prints the request. What it sends must be what weSend knows.
func (q question) bytes() []byte {
	var b bytes.Buffer
	b.WriteString("GET ")
	if q.whole {
		b.WriteString("http://" + q.host)
	}
	b.WriteString(q.path + " HTTP/1.1\r\nHost: " + q.host + "\r\nUser-Agent: Freeway (proxy check)\r\nAccept: */*\r\n")
	if q.canary != "" {
		b.WriteString("X-Canary: " + q.canary + "\r\n")
	}
	if q.accept != "" {
		b.WriteString("Accept-Encoding: " + q.accept + "\r\n")
	}
	if q.auth != "" {
		b.WriteString("Proxy-Authorization: " + q.auth + "\r\n")
	}
	b.WriteString("Connection: close\r\n\r\n")
	return b.Bytes()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	wait   time.Duration // until the first byte, from the request or the TLS handshake before it; 0: none came
}

// content returns the body without the compression that an honest proxy may
// have added: nothing in the request forbids it.
func (a answer) content() []byte {
	if body, err := judge.Unpack(a.body, a.encoding()); err == nil {
		return body
	}
	return a.body
}

// encoding returns the Content-Encoding.
func (a answer) encoding() string { return strings.Join(a.header.Values("Content-Encoding"), ",") }

// maxHead bounds the head of an answer, in bytes.
const maxHead = 32 << 10

// askOver is ask, with TLS to the page's server first when its address says so.
// Either may take as long as limit says.
func askOver(ctx context.Context, limit time.Duration, conn net.Conn, q question, roots *x509.CertPool) (answer, *fault) {
	began := time.Now()
	if q.to.TLS {
		c, f := secure(ctx, limit, conn, q.page, roots)
		if f != nil {
			return answer{}, f
		}
		conn = c
	}
	before := time.Since(began)
	a, f := ask(ctx, limit, conn, q)
	if a.wait > 0 {
		a.wait += before
	}
	return a, f
}

// readers are kept for answers.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2<<10) }}

// expected bounds the room that is made for a body, in bytes, on the word of its header alone.
const expected = 16 << 10

// ask sends q over conn and reads the answer.
func ask(ctx context.Context, limit time.Duration, conn net.Conn, q question) (answer, *fault) {
	defer obey(ctx, limit, conn)()
	var a answer
	began := time.Now()
	if _, err := conn.Write(q.bytes()); err != nil {
		return a, faultOf(ctx, proxy.StageRequest, err)
	}
	br := readers.Get().(*bufio.Reader)
	br.Reset(io.LimitReader(conn, maxHead+q.maxBody+1))
	defer func() {
		br.Reset(nil)
		readers.Put(br)
	}()
	if _, err := br.Peek(1); err != nil {
		return a, faultOf(ctx, proxy.StageRequest, err)
	}
	a.wait = max(time.Since(began), 1)
	resp, f := readHead(ctx, br)
	if f != nil {
		return a, f
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), q.maxBody, expected)) + bytes.MinRead)
	_, err := body.ReadFrom(io.LimitReader(resp.Body, q.maxBody))
	a.body = body.Bytes()
	if err != nil {
		f := faultOf(ctx, proxy.StageBody, err)
		if f.class != proxy.Timeout && f.class != proxy.Canceled && f.class != proxy.Reset {
			f.class = proxy.Truncated
		}
		f.status = a.status
		return a, f
	}
	return a, nil
}

// obey makes conn keep to ctx and to a limit; the function it returns ends that.
func obey(ctx context.Context, limit time.Duration, conn net.Conn) func() {
	conn.SetDeadline(time.Now().Add(limit)) // the end of ctx, when that is sooner, moves it
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// readHead reads the head of the final answer; a few interim ones may come first.
func readHead(ctx context.Context, br *bufio.Reader) (*http.Response, *fault) {
	for range 5 {
		if start, err := br.Peek(5); len(start) == 5 && string(start) != "HTTP/" || len(start) > 0 && start[0] != 'H' {
			return nil, &fault{stage: proxy.StageRequest, class: proxy.Garbage}
		} else if err != nil {
			return nil, faultOf(ctx, proxy.StageRequest, err)
		}
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodGet})
		if err != nil {
			f := faultOf(ctx, proxy.StageRequest, err)
			if f.class == proxy.Unreachable { // not an error of the network
				f.class = proxy.Garbage
			}
			return nil, f
		}
		if resp.StatusCode >= 200 {
			return resp, nil
		}
		resp.Body.Close()
	}
	return nil, &fault{stage: proxy.StageRequest, class: proxy.Garbage, why: "interim answers without end"}
}

// secure speaks TLS over conn with the server of p, verified against roots and p's name.
// A certificate that does not verify is Tampered with its issuer as evidence.
func secure(ctx context.Context, limit time.Duration, conn net.Conn, p page, roots *x509.CertPool) (*tls.Conn, *fault) {
	defer obey(ctx, limit, conn)()
	c := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: p.to.Host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}}) // nothing in a check is secret in ten years
	err := c.Handshake() // ends with ctx, by the deadline
	if err == nil {
		return c, nil
	}
	f := faultOf(ctx, proxy.StageTunnel, err)
	if forged, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		f.class, f.tampers = proxy.Tampered, "tls: "+issuer(forged)
		f.why = f.tampers
	} else if f.class == proxy.Unreachable || f.class == proxy.BadTLS {
		f.class, f.why = proxy.BadTLS, "the tunnel does not lead to TLS"
	}
	return nil, f
}

// issuer names who signed a certificate that does not verify.
func issuer(e *tls.CertificateVerificationError) string {
	if len(e.UnverifiedCertificates) == 0 {
		return "no certificate"
	}
	return "issuer " + judge.Printable(e.UnverifiedCertificates[0].Issuer.String(), 120)
}

// nonceSize is the length of a nonce.
const nonceSize = 32

// newNonce returns nonceSize hexadecimal digits that nobody can guess.
func newNonce() string {
	var b [nonceSize / 2]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// weigh compares an answer with the question that a judge of a kind, 0 for any,
// with a key, nil for none, was asked.
func weigh(a answer, q question, nonce string, kind judge.Kind, key []byte) (judge.Seen, judge.Kind, *fault) {
	if a.status != http.StatusOK {
		return judge.Seen{}, 0, &fault{stage: proxy.StageRequest, class: statusClass(a.status, q.to.TLS), status: a.status}
	}
	body := a.content()
	seen, is, err := judge.Read(body)
	if err == nil && key != nil && (kind == 0 || kind == is) {
		err = judge.Verify(body, key)
	}
	f := &fault{stage: proxy.StageVerify, status: a.status}
	switch {
	case errors.Is(err, judge.ErrCut):
		f.stage, f.class = proxy.StageBody, proxy.Truncated
	case errors.Is(err, judge.ErrAltered):
		f.class, f.tampers, f.why = proxy.Tampered, "content: "+err.Error(), err.Error()
	case err != nil:
		f.class, f.why = proxy.WrongContent, err.Error()
	case kind != 0 && is != kind:
		f.class, f.why = proxy.WrongContent, "the answer of another kind of judge"
	case seen.Nonce != nonce:
		f.class, f.why = proxy.WrongContent, "an answer to another question"
	case q.canary != "" && seen.Get("X-Canary") != "" && seen.Get("X-Canary") != q.canary:
		f.class, f.tampers, f.why = proxy.Tampered, "header: a value was changed on the way", "a header was changed on the way"
	default:
		return seen, is, nil
	}
	return seen, is, f
}

// statusClass says what a status other than 200 means. Through verified TLS it is
// the judge's own word, else most likely the proxy's.
func statusClass(status int, verified bool) proxy.Class {
	switch {
	case verified && status >= 500:
		return proxy.TargetFailed
	case verified && (status == http.StatusForbidden || status == http.StatusTooManyRequests), status == http.StatusTooManyRequests:
		return proxy.Banned
	case verified:
		return proxy.WrongContent
	case status == http.StatusProxyAuthRequired:
		return proxy.AuthRequired
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return proxy.BadGateway
	case status >= 300 && status < 400:
		return proxy.WrongContent // a login page lies behind it
	}
	return proxy.Rejected
}
