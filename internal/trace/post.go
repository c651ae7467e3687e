package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer = 64 << 10         // bytes of the collector's answer that are read
	maxTries  = 5                // of one batch
	maxWait   = 30 * time.Second // between two tries, also where the collector asks for more
)

// pack compresses a request.
func pack(b []byte) ([]byte, error) {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err := w.Close()
	return buf.Bytes(), err
}

// statusError is an answer other than success.
type statusError struct {
	status int
	after  time.Duration // what Retry-After asks for; 0: nothing
}

// Error names the status, and nothing that the collector wrote.
func (e *statusError) Error() string { return "the collector answers " + strconv.Itoa(e.status) }

// passing reports whether the same request may work later (OTLP/HTTP, retryable
// response codes).
func (e *statusError) passing() bool {
	switch e.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// post sends a request until it is taken, refused for good, or there have been
// enough tries. It returns how many spans the collector did not want.
func (t *Tracer) post(ctx context.Context, body []byte) (rejected int, err error) {
	wait := t.opt.Backoff
	for try := 1; ; try++ {
		rejected, err = t.postOnce(ctx, body)
		var status *statusError
		switch {
		case err == nil:
			return rejected, nil
		case try == maxTries, ctx.Err() != nil, errors.As(err, &status) && !status.passing():
			return 0, err
		}
		pause := wait/2 + rand.N(wait)
		if status != nil && status.after > 0 {
			pause = status.after
		}
		wait = min(2*wait, maxWait)
		timer := time.NewTimer(min(pause, maxWait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, err
		}
	}
}

// postOnce sends a request once. Errors hold neither path nor headers.
func (t *Tracer) postOnce(ctx context.Context, body []byte) (rejected int, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("bad endpoint")
	}
	req.Header.Set("User-Agent", "freeway/"+t.opt.Version)
	for _, h := range t.opt.Headers {
		req.Header.Set(h[0], h[1])
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return 0, fmt.Errorf("reach the collector: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		return 0, &statusError{resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	if err != nil {
		return 0, nil //nolint:nilerr // it has taken the spans
	}
	return t.partial(answer), nil
}

// retryAfter reads a number of seconds or a date; 0: nothing that can be read.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil && n > 0 {
		return time.Duration(min(n, int(maxWait/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// partial reads how many spans a collector that took the request did not want.
func (t *Tracer) partial(answer []byte) int {
	var a struct {
		Partial struct {
			Rejected json.Number `json:"rejectedSpans"`
			Message  string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return 0
	}
	n, err := a.Partial.Rejected.Int64()
	if err != nil || n < 0 {
		n = 0
	}
	if n > 0 || a.Partial.Message != "" {
		t.opt.Log.Warn("the collector did not want all traces", "rejected", n, "says", clip(a.Partial.Message))
	}
	return int(n)
}

// clip cuts foreign text.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
