package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"freeway/internal/socks"
	"freeway/proxy"
)

// The codes of answers that are the gateway's own, in the header Freeway-Error.
const (
	codeAuth        = "auth_required"
	codeBadOptions  = "bad_options"
	codeBadRequest  = "bad_request"
	codeSlow        = "request_timeout"
	codeExpectation = "expectation_failed"
	codeForbidden   = "forbidden_target"
	codeOptions     = "forbidden_options"
	codeCredentials = "plaintext_credentials"
	codePlain       = "plain_http"
	codeQuota       = "quota"
	codeFailed      = "upstreams_failed"
	codeTargetDown  = "target_down"
	codeSessionLost = "session_lost"
	codeNone        = "no_upstream"
	codeOverload    = "overload"
	codeDeadline    = "deadline"
	codeInternal    = "internal"
	codeGone        = "client_gone" // for records; never sent
)

// answer is what one code means on the wire.
type answer struct {
	status int
	reason string
	error  string // error type of Proxy-Status (RFC 9209 section 2.3)
	reply  socks.Reply
}

// answers is the only place where a status is chosen for a code.
var answers = map[string]answer{
	codeAuth:        {407, "Proxy Authentication Required", "http_request_denied", socks.NotAllowed},
	codeBadOptions:  {400, "Bad Request", "http_request_error", socks.GeneralFailure},
	codeBadRequest:  {400, "Bad Request", "http_request_error", socks.GeneralFailure},
	codeSlow:        {408, "Request Timeout", "http_request_error", socks.GeneralFailure},
	codeExpectation: {417, "Expectation Failed", "http_request_error", socks.GeneralFailure},
	codeForbidden:   {403, "Forbidden", "destination_ip_prohibited", socks.NotAllowed},
	codeOptions:     {403, "Forbidden", "http_request_denied", socks.NotAllowed},
	codeCredentials: {403, "Forbidden", "http_request_denied", socks.NotAllowed},
	codePlain:       {403, "Forbidden", "http_request_denied", socks.NotAllowed},
	codeQuota:       {429, "Too Many Requests", "http_request_denied", socks.NotAllowed},
	codeFailed:      {502, "Bad Gateway", "destination_unavailable", socks.HostUnreachable},
	codeTargetDown:  {502, "Bad Gateway", "destination_unavailable", socks.HostUnreachable},
	codeSessionLost: {502, "Bad Gateway", "destination_unavailable", socks.GeneralFailure},
	codeNone:        {503, "Service Unavailable", "destination_unavailable", socks.NetworkUnreachable},
	codeOverload:    {503, "Service Unavailable", "connection_limit_reached", socks.GeneralFailure},
	codeDeadline:    {504, "Gateway Timeout", "http_response_timeout", socks.TTLExpired},
	codeInternal:    {500, "Internal Server Error", "proxy_internal_error", socks.GeneralFailure},
	codeGone:        {499, "", "", socks.GeneralFailure},
}

// reasons of statuses that come from reading a head rather than from a code.
var reasons = map[int]string{431: "Request Header Fields Too Large", 505: "HTTP Version Not Supported", 501: "Not Implemented"}

// refusal is an answer of the gateway's own. Its text never names an upstream.
type refusal struct {
	code       string
	status     int // 0: that of the code
	msg        string
	retryAfter time.Duration // 0: no Retry-After
}

// Error makes a refusal travel as an error.
func (r *refusal) Error() string { return r.code + ": " + r.msg }

// errGone ends a request whose client went away.
var errGone = &refusal{code: codeGone, msg: "the client went away"}

// refusef makes a refusal with the status of its code. The text is for people.
func refusef(code, msg string) *refusal { return &refusal{code: code, msg: msg} }

// httpStatus is the status that HTTP clients get.
func (r *refusal) httpStatus() int {
	if r.status != 0 {
		return r.status
	}
	return answers[r.code].status
}

// defaultRetryAfter is said with 503 when nobody knows better: a resting
// upstream is probed again within 15 s.
const defaultRetryAfter = 15 * time.Second

// appendTo appends the whole answer to a request.
func (r *refusal) appendTo(b []byte, id string, keep, head bool) []byte {
	a := answers[r.code]
	status, reason := r.httpStatus(), a.reason
	if status != a.status {
		reason = reasons[status]
	}
	text := r.code + ": " + r.msg + " (request " + id + ")\n"
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, reason...)
	b = append(b, "\r\nProxy-Status: freeway; error="...)
	b = append(b, a.error...)
	b = append(b, "; details="...)
	b = strconv.AppendQuote(b, r.code)
	b = append(b, "\r\nFreeway-Error: "...)
	b = append(b, r.code...)
	b = append(b, "\r\nFreeway-Request-Id: "...)
	b = append(b, id...)
	if r.code == codeAuth {
		b = append(b, "\r\nProxy-Authenticate: Basic realm=\"freeway\", charset=\"UTF-8\""...)
	}
	if r.retryAfter > 0 {
		b = append(b, "\r\nRetry-After: "...)
		b = strconv.AppendInt(b, int64((r.retryAfter+time.Second-1)/time.Second), 10)
	}
	if !keep {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\nCache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "\r\n\r\n"...)
	if head {
		return b
	}
	return append(b, text...)
}

// newID returns 16 characters that name a request and mean nothing.
func newID() string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	var b [16]byte
	n := rand.Uint64()
	for i := range b {
		if i == 12 {
			n = rand.Uint64()
		}
		b[i] = digits[n&31]
		n >>= 5
	}
	return string(b[:])
}

// refusePick turns an error of the Picker into a refusal.
func refusePick(err error) *refusal {
	var none *proxy.NoneError
	switch {
	case errors.Is(err, proxy.ErrSessionLost):
		return refusef(codeSessionLost, "the session's exit is lost")
	case errors.Is(err, proxy.ErrTargetDown):
		return refusef(codeTargetDown, "the target does not answer through several upstreams")
	case errors.As(err, &none):
		return &refusal{code: codeNone, msg: none.Error(), retryAfter: cmpOr(none.RetryAfter, defaultRetryAfter)}
	case errors.Is(err, proxy.ErrNone):
		return &refusal{code: codeNone, msg: proxy.ErrNone.Error(), retryAfter: defaultRetryAfter}
	case errors.Is(err, context.DeadlineExceeded):
		return refusef(codeDeadline, "no upstream in time")
	}
	return refusef(codeInternal, "no upstream could be picked")
}

// cmpOr returns d, or def when d says nothing.
func cmpOr(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}
