package lab

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// Ups says for each of n sweeps whether an upstream of a kind is up.
func Ups(kind Behaviour, seed uint64, n int) []bool {
	const step = sweep / 1000
	p := newPlan(kind, rand.New(rand.NewPCG(seed, 1)))
	begin := time.Unix(1e9, 0)
	p.begin(begin, 1000)
	out := make([]bool, n)
	for i := range out {
		out[i], _ = p.at(begin.Add(time.Duration(i) * step))
	}
	return out
}

// UpAt asks one plan at several times, in real time from its beginning.
func UpAt(kind Behaviour, seed uint64, speed float64, at ...time.Duration) (up []bool, since []time.Duration) {
	p := newPlan(kind, rand.New(rand.NewPCG(seed, 1)))
	begin := time.Unix(1e9, 0)
	p.begin(begin, speed)
	for _, d := range at {
		u, s := p.at(begin.Add(d))
		up, since = append(up, u), append(since, s.Sub(begin))
	}
	return up, since
}

// ReadHead reads a head and prints it again.
func ReadHead(text string) (string, error) {
	h, err := readHead(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return "", err
	}
	h.dropHops()
	h.requestBody()
	return string(h.bytes()), nil
}

// CopyChunks passes a chunked body on and also reads its content.
func CopyChunks(text string) (wire, content string, err error) {
	var b buffers
	var out strings.Builder
	err = b.copyBody(&out, bufio.NewReader(strings.NewReader(text)), chunked)
	body, err2 := readBody(bufio.NewReader(strings.NewReader(text)), chunked, 1<<20)
	if err == nil {
		err = err2
	}
	return out.String(), string(body), err
}

// CutterAsks feeds a client's bytes to the watcher of a cutter, n at a time, and
// returns how many bytes had passed when it first saw data; -1 for never.
func CutterAsks(client string, n int) int {
	c := &cutter{}
	r := c.seeing(io.LimitReader(strings.NewReader(client), int64(len(client))))
	buf := make([]byte, n)
	for passed := 0; ; {
		k, err := r.Read(buf)
		passed += k
		if c.asked {
			return passed
		}
		if err != nil {
			return -1
		}
	}
}

// Tampered is content after tampering.
func Tampered(body, contentType string) string { return string(tamper([]byte(body), contentType)) }

// StartWithLimit is Start where single upstreams may have so many sockets.
func StartWithLimit(ctx context.Context, cfg Config, limit int) (*Lab, error) {
	return start(ctx, cfg, limit)
}

// Latencies draws n latencies of an upstream.
func Latencies(u Upstream, n int) []time.Duration {
	node := newNode(u, rand.New(rand.NewPCG(1, 2)))
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = node.latency()
	}
	return out
}
